// Compiles src/ to dist/, and takes along what the compiler leaves behind: the Lua scripts and the console, read beside their modules.
// Built beside and then put in place, so that a failed build leaves the last one alone.
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const compiler = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const fresh = `${root}.build/${process.pid}`;

const args = [compiler, "-p", "tsconfig.json", "--outDir", fresh, "--noEmitOnError"];
const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
if (status === 0) {
  cpSync(`${root}src`, fresh, { recursive: true, filter: (path) => !/\.tsx?$/.test(path) });
  chmodSync(`${fresh}/main.js`, 0o755);
  rmSync(`${root}dist`, { recursive: true, force: true });
  renameSync(fresh, `${root}dist`);
}
rmSync(fresh, { recursive: true, force: true });
process.exitCode = status ?? 1;
