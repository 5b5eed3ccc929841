// Compiles src/ to dist/, and takes along what the compiler leaves behind: the Lua scripts, read beside their module.
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");

rmSync(`${root}dist`, { recursive: true, force: true });
const { status } = spawnSync(process.execPath, [compiler, "-p", "tsconfig.json"], { cwd: root, stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);
cpSync(`${root}src`, `${root}dist`, { recursive: true, filter: (path) => !/\.tsx?$/.test(path) });
chmodSync(`${root}dist/main.js`, 0o755);
