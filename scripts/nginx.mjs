#!/usr/bin/env node
// Prints, as JSON, an nginx that can be run here and where its Lua is; exit code 1 and the reason when there is none.
//
// Looked for in this order: NGINX_BIN, PATH, the cache folder, Debian's packages. Those are unpacked into the cache folder
// and nowhere else: nothing is installed, and neither root nor a compiler is needed.
import { execFile } from "node:child_process";
import { access, chmod, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { unpackPackages } from "./debian-packages.mjs";

const run = promisify(execFile);
const cache = fileURLToPath(new URL("../.cache/nginx/", import.meta.url));

/** What bookworm's nginx with Lua needs beyond what a machine with node has; libpcre3 is the Lua module's. */
const packages = [
  "nginx",
  "libnginx-mod-http-ndk",
  "libnginx-mod-http-lua",
  ["libluajit2-5.1-2", "libluajit-5.1-2"],
  "lua-resty-core",
  "lua-resty-lrucache",
  "lua-nginx-redis",
  "libpcre3",
  "libpcre2-8-0",
  "libcrypt1",
  "libssl3",
];

/**
 * @returns {Promise<{ program: string, lua?: { modules: string, path: string } }>} `lua` is missing where nginx has no Lua,
 *   or there is no Redis client for it.
 */
export async function findNginx() {
  const named = process.env.NGINX_BIN;
  if (named) {
    if (await isNginx(named)) return withLua(named, ["/"]);
    throw new Error(`NGINX_BIN is ${named}, which is no nginx that runs here`);
  }
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    if (!folder || !(await isNginx(join(folder, "nginx")))) continue;
    const found = await withLua(join(folder, "nginx"), ["/"]);
    // One without Lua is only half of what is wanted: the packages have both.
    if (found.lua !== undefined) return found;
  }
  const root = join(cache, "root");
  if (!(await isNginx(join(root, "nginx")))) await unpack(root);
  if (await isNginx(join(root, "nginx"))) return withLua(join(root, "nginx"), [root]);
  throw new Error(`the nginx unpacked at ${root} does not run here`);
}

async function isNginx(path) {
  try {
    await access(path);
    const { stderr } = await run(path, ["-v"], { timeout: 10_000 });
    return stderr.includes("nginx version");
  } catch {
    return false;
  }
}

async function withLua(program, roots) {
  for (const root of roots) {
    const modules = await firstThere(
      ["usr/lib/nginx/modules", "usr/share/nginx/modules"].map((folder) => join(root, folder)),
      "ngx_http_lua_module.so",
    );
    const library = await firstThere([join(root, "usr/share/lua/5.1")], "nginx/redis.lua");
    if (modules !== undefined && library !== undefined) {
      return { program, lua: { modules, path: `${library}/?.lua;${library}/?/init.lua` } };
    }
  }
  return { program };
}

async function firstThere(folders, file) {
  for (const folder of folders) {
    try {
      await access(join(folder, file));
      return folder;
    } catch {
      // Not in this one.
    }
  }
  return undefined;
}

async function unpack(root) {
  await mkdir(dirname(root), { recursive: true });
  const folder = await mkdtemp(join(cache, "new-"));
  try {
    const unpacked = await unpackPackages(packages, folder, cache);
    await writeFile(join(unpacked, "nginx"), wrapper);
    await chmod(join(unpacked, "nginx"), 0o755);
    // Two of these may run at once: the first to get here wins, the other finds a whole folder.
    await rename(unpacked, root).catch((error) => {
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
exec "$here/usr/sbin/nginx" "$@"
`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log(JSON.stringify(await findNginx()));
  } catch (error) {
    console.error(`No nginx can be had here: ${String(error.stderr || error.message).trim()}`);
    console.error(
      "Install one (Debian: apt-get install nginx libnginx-mod-http-lua lua-nginx-redis), or set NGINX_BIN.",
    );
    process.exitCode = 1;
  }
}
