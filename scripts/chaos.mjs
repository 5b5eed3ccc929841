#!/usr/bin/env node
// `npm run chaos`: see test/chaos/run.ts. Needs `npm run build` before.

import { register } from "tsx/esm/api";

register();
const { run } = await import("../test/chaos/run.ts");
process.exitCode = await run(process.argv.slice(2));
