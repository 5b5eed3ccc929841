#!/usr/bin/env node
/**
 * Writes what follows from the declared settings: config/schema.json and the reference in docs/configuration.md.
 * With --check it writes nothing, and fails when one of them is out of date. Needs `npm run build` first.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { jsonSchema } from "../dist/config/json-schema.js";
import { reference, withReference } from "../dist/config/reference.js";

const mayWrite = !process.argv.includes("--check");
const file = (path) => new URL(`../${path}`, import.meta.url);
const before = (path) => readFileSync(file(path), "utf8");

const derived = {
  "config/schema.json": `${JSON.stringify(jsonSchema(), null, 2)}\n`,
  "docs/configuration.md": withReference(before("docs/configuration.md"), reference()),
};

for (const [path, text] of Object.entries(derived)) {
  if (before(path) === text) continue;
  if (mayWrite) writeFileSync(file(path), text);
  else process.exitCode = 1;
  console.log(`${path}: ${mayWrite ? "written" : "out of date; run `npm run docs`"}`);
}
