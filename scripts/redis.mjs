#!/usr/bin/env node
// Prints the path of a redis-server (7.0 or later) that can be run here; exit code 1 and the reason when there is none.
//
// Looked for in this order: REDIS_SERVER_BIN, PATH, the cache folder, Debian's packages. Those are unpacked into the
// cache folder and nowhere else: nothing is installed, and neither root nor a compiler is needed.

import { execFile } from "node:child_process";
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const cache = fileURLToPath(new URL("../.cache/redis/", import.meta.url));
const cached = join(cache, "root", "redis-server");
const apt = { timeout: 120_000, maxBuffer: 16 << 20 };

/** The version's line, when the file is a Redis or Valkey server that runs here and is new enough. */
async function isServer(path) {
  try {
    await access(path);
    const { stdout } = await run(path, ["--version"], { timeout: 10_000 });
    return Number(/v=(\d+)/.exec(stdout)?.[1] ?? 0) >= 7;
  } catch {
    return false;
  }
}

async function find() {
  const named = process.env.REDIS_SERVER_BIN;
  if (named) {
    if (await isServer(named)) return named;
    throw new Error(`REDIS_SERVER_BIN is ${named}, which is no Redis server of version 7.0 or later`);
  }
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of ["redis-server", "valkey-server"]) {
      if (folder && (await isServer(join(folder, name)))) return join(folder, name);
    }
  }
  if (!(await isServer(cached))) await unpack();
  if (await isServer(cached)) return cached;
  throw new Error(`the server unpacked at ${cached} does not run here`);
}

/** Debian's redis-server is a link to a program of redis-tools, which looks at the name it was called by. */
async function unpack() {
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "new-"));
  try {
    const options = await packageLists();
    for (const name of await missingPackages("redis-tools", options)) {
      await run("apt-get", [...options, "download", name], { ...apt, cwd: folder });
    }
    for (const file of await readdir(folder)) await run("dpkg", ["-x", join(folder, file), join(folder, "root")], apt);
    const root = join(folder, "root");
    await symlink("redis-check-rdb", join(root, "usr/bin/redis-server")).catch(() => {});
    await writeFile(join(root, "redis-server"), wrapper);
    await chmod(join(root, "redis-server"), 0o755);
    // Two of these may run at once: the first to get here wins, the other finds a whole folder.
    if (!(await isServer(join(root, "redis-server")))) throw new Error("what was unpacked does not run");
    if (!(await isServer(cached))) await rm(join(cache, "root"), { recursive: true, force: true });
    await rename(root, join(cache, "root")).catch((error) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const wrapper = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
for folder in "$here"/usr/lib/*-linux-* "$here"/lib/*-linux-*; do
  LD_LIBRARY_PATH="$folder\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
done
export LD_LIBRARY_PATH
exec "$here/usr/bin/redis-server" "$@"
`;

/** The options that make apt use the machine's package lists, or, where it has none, its own. */
async function packageLists() {
  const sandbox = process.getuid?.() === 0 ? ["-o", "APT::Sandbox::User=root"] : [];
  const { stdout } = await run("apt-cache", ["policy", "redis-tools"], apt);
  if (/Candidate: \d/.test(stdout)) return sandbox;
  const own = [...sandbox, "-o", `Dir::State::lists=${join(cache, "lists")}`, "-o", `Dir::Cache=${join(cache, "apt")}`];
  await mkdir(join(cache, "lists", "partial"), { recursive: true });
  await mkdir(join(cache, "apt", "archives", "partial"), { recursive: true });
  await run("apt-get", [...own, "update"], apt);
  return own;
}

/** The package and whatever it depends on that is not installed. */
async function missingPackages(name, options) {
  const quiet = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map((kind) => `--no-${kind}`);
  const { stdout } = await run("apt-cache", [...options, "depends", "--recurse", ...quiet, name], apt);
  const names = new Set(stdout.split("\n").filter((line) => /^[a-z0-9]/.test(line)));
  const missing = [];
  for (const each of names) if (each === name || !(await isInstalled(each))) missing.push(each);
  return missing;
}

async function isInstalled(name) {
  try {
    const { stdout } = await run("dpkg-query", ["-W", "-f=${Status}", name], apt);
    return stdout.includes("ok installed");
  } catch {
    return false;
  }
}

try {
  console.log(await find());
} catch (error) {
  const reason = String(error.stderr || error.message).trim();
  console.error(`No Redis server of version 7.0 or later can be had here: ${reason}`);
  console.error("Install one (Debian: apt-get install redis-server), or set REDIS_SERVER_BIN to its path.");
  process.exitCode = 1;
}
