#!/usr/bin/env node
// `npm run fuzz`: see test/fuzz/run.ts. Needs `npm run build` before.

import { register } from "tsx/esm/api";

register();
const { run } = await import("../test/fuzz/run.ts");
process.exitCode = await run(process.argv.slice(2));
