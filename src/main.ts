#!/usr/bin/env node
import { run } from "./cli/run.js";

process.exitCode = await run(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
});

// Whatever is still open by then is nothing that anybody waits for.
setTimeout(() => process.exit(), 2_000).unref();
