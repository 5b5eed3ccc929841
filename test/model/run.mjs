#!/usr/bin/env node
// `npm run test:model`: the searches of model.test.ts and further ones, with their sizes and the counterexamples in full.

import { register } from "tsx/esm/api";

register();
const { run } = await import("./run.ts");
process.exitCode = await run();
