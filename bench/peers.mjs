// Who takes part, and how each is started.
import { execFileSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, start } from "./process.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const main = here("../dist/main.js");

/** `kind` names what is sent to it (run.mjs). `only`: names, or none for all. */
export async function openPeers(only) {
  const upstreamPort = await freePort();
  await start(process.execPath, [here("peers/upstream.mjs")], {
    port: upstreamPort,
    env: { PORT: String(upstreamPort) },
  });
  const upstream = `http://127.0.0.1:${upstreamPort}`;
  const redisPort = await freePort();
  const redis = execFileSync(process.execPath, [here("../scripts/redis.mjs")], { encoding: "utf8" }).trim();
  await start(redis, ["--port", String(redisPort), "--save", "", "--appendonly", "no"], { port: redisPort });
  const peers = [];
  const add = async (name, kind, open) => {
    if (only.length > 0 && !only.includes(name)) return;
    peers.push({ name, kind, ...(await open()) });
  };
  await add("http-proxy", "plain", () => script("http-proxy", upstream));
  await add("bare undici", "plain", () => script("bare-undici", upstream));
  await add("bare node", "plain", () => script("bare-node", upstream));
  const onRedis = () => gateway(upstream, `{ type: redis, url: "redis://127.0.0.1:${redisPort}" }`);
  const onDisk = () => gateway(upstream, `{ type: embedded, path: ${mkdtempSync(join(tmpdir(), "bench-"))} }`);
  await add("first, redis", "first", onRedis);
  await add("first, embedded", "first", onDisk);
  await add("replay, redis", "replay", onRedis);
  await add("replay, embedded", "replay", onDisk);
  await add("unprotected", "plain", () =>
    gateway(upstream, `{ type: redis, url: "redis://127.0.0.1:${redisPort}" }`, false),
  );
  return peers;
}

async function script(name, upstream) {
  const port = await freePort();
  const env = { PORT: String(port), UPSTREAM: upstream, NODE_ENV: "production" };
  const child = await start(process.execPath, [here(`peers/${name}.mjs`)], { port, env });
  return { port, pid: child.pid };
}

async function gateway(upstream, store, isProtected = true) {
  const [port, adminPort] = [await freePort(), await freePort()];
  const file = join(mkdtempSync(join(tmpdir(), "bench-")), "gateway.yaml");
  writeFileSync(
    file,
    `server: { host: 127.0.0.1, port: ${port} }
admin: { port: ${adminPort} }
store: ${store}
logging: { level: warn }
routes:
  - name: payments
    match: { path: /payments }
    upstream: { url: ${upstream}, connections: 64 }
${isProtected ? "    idempotency: {}\n" : ""}`,
  );
  const child = await start(process.execPath, [main, "serve", "--config", file], {
    port,
    env: { NODE_ENV: "production" },
  });
  return { port, pid: child.pid };
}
