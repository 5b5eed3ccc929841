// What a measurement stands on: the API, a Redis, a gateway, each on a free port of loopback.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, start } from "./process.mjs";

export const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const folders = [];

/** A folder that `clearFolders` removes. */
export function newFolder() {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  folders.push(folder);
  return folder;
}

export function clearFolders() {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export async function openUpstream() {
  const port = await freePort();
  await start(process.execPath, [here("peers/upstream.mjs")], { port, env: { PORT: String(port) } });
  return { port };
}

/** `isDurable`: writes its append-only file into `folder`, as the recipes say. */
export async function openRedis(isDurable = false) {
  const port = await freePort();
  const folder = newFolder();
  const program = execFileSync(process.execPath, [here("../scripts/redis.mjs")], { encoding: "utf8" }).trim();
  const options = ["--bind", "127.0.0.1", "--save", "", "--dir", folder, "--appendonly", isDurable ? "yes" : "no"];
  const child = await start(program, ["--port", String(port), ...options], { port });
  return { port, pid: child.pid, folder, child };
}

export const onRedis = (redis) => `{ type: redis, url: "redis://127.0.0.1:${redis.port}" }`;
export const onDisk = (folder) => `{ type: embedded, path: ${folder} }`;

export const protectedRoute = (upstreamPort) => route(upstreamPort, "    idempotency: {}\n");
export const plainRoute = (upstreamPort) => route(upstreamPort, "");

function route(upstreamPort, idempotency) {
  return `  - name: payments
    match: { path: /payments }
    upstream: { url: "http://127.0.0.1:${upstreamPort}", connections: 64 }
${idempotency}`;
}

/** `server`: settings of the group, in flow style. */
export async function openGateway({ store, routes, server = "" }) {
  const [port, adminPort] = [await freePort(), await freePort()];
  const file = join(newFolder(), "gateway.yaml");
  writeFileSync(
    file,
    `server: { host: 127.0.0.1, port: ${port}${server === "" ? "" : `, ${server}`} }
admin: { port: ${adminPort} }
store: ${store}
logging: { level: warn }
routes:
${routes}`,
  );
  const env = { NODE_ENV: "production" };
  const child = await start(process.execPath, [here("../dist/main.js"), "serve", "--config", file], { port, env });
  return { port, adminPort, pid: child.pid, child };
}
