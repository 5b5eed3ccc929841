// Who takes part, and how each is started.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findNginx } from "../scripts/nginx.mjs";
import { freePort, start } from "./process.mjs";
import {
  here,
  newFolder,
  onDisk,
  onRedis,
  openGateway,
  openRedis,
  openUpstream,
  plainRoute,
  protectedRoute,
} from "./stage.mjs";
import { first, herd, plain, replay } from "./traffic.mjs";

/** How many share one answer in the herd's row, and how long the upstream takes for it. */
export const herdSize = 100;
export const herdDelayMs = 10;

/**
 * @param {readonly string[]} only names, or none for all
 * @returns {Promise<{ peers: { name: string, port: number, pid: number, traffic: object }[], notes: string[] }>} `notes`
 *   say who is missing, and why
 */
export async function openPeers(only) {
  const upstream = await openUpstream();
  const redis = await openRedis();
  const [peers, notes] = [[], []];
  const isWanted = (name) => only.length === 0 || only.includes(name);
  const add = async (name, open, trafficOf) => {
    if (!isWanted(name)) return;
    const peer = await open();
    peers.push({ name, port: peer.port, pid: peer.pid, traffic: await trafficOf(peer) });
  };
  const gateway = (store) => () => openGateway({ store, routes: protectedRoute(upstream.port) });
  const redisGateway = gateway(onRedis(redis));
  const diskGateway = () => gateway(onDisk(newFolder()))();
  const hot = ({ port }) => replay({ port, isHot: true });

  await add("http-proxy", () => script("http-proxy", upstream), plain);
  await add("bare undici", () => script("bare-undici", upstream), plain);
  await add("bare node", () => script("bare-node", upstream), plain);
  await addNginx({ add, isWanted, notes, upstream, redis, hot });
  await add("first, redis", redisGateway, first);
  await add("first, embedded", diskGateway, first);
  await add("replay, redis", redisGateway, hot);
  await add("replay, redis, cold", redisGateway, async ({ port }) =>
    replay({ port, makerPort: (await redisGateway()).port, isHot: false }),
  );
  await add("replay, embedded", diskGateway, hot);
  await add("herd, redis", redisGateway, () => herd({ size: herdSize, delayMs: herdDelayMs }));
  await add("unprotected", () => openGateway({ store: onRedis(redis), routes: plainRoute(upstream.port) }), plain);
  return { peers, notes };
}

async function addNginx({ add, isWanted, notes, upstream, redis, hot }) {
  const names = ["nginx bare", "nginx+lua+redis, first", "nginx+lua+redis, replay"];
  if (!names.some(isWanted)) return;
  let found;
  try {
    found = await findNginx();
  } catch (error) {
    notes.push(`without nginx: ${String(error.stderr || error.message).trim()}`);
    return;
  }
  await add("nginx bare", () => nginx(found, "nginx-bare", { upstream, redis }), plain);
  if (found.lua === undefined) {
    notes.push(`without nginx+lua+redis: ${found.program} has no Lua, or there is no Redis client for it`);
    return;
  }
  await add("nginx+lua+redis, first", () => nginx(found, "nginx-lua", { upstream, redis }), first);
  await add("nginx+lua+redis, replay", () => nginx(found, "nginx-lua", { upstream, redis }), hot);
}

async function script(name, upstream) {
  const port = await freePort();
  const env = { PORT: String(port), UPSTREAM: `http://127.0.0.1:${upstream.port}`, NODE_ENV: "production" };
  const child = await start(process.execPath, [here(`peers/${name}.mjs`)], { port, env });
  return { port, pid: child.pid };
}

async function nginx({ program, lua }, name, { upstream, redis }) {
  const [port, folder] = [await freePort(), newFolder()];
  const values = {
    PORT: port,
    UPSTREAM_PORT: upstream.port,
    REDIS_PORT: redis.port,
    FOLDER: folder,
    PEERS: here("peers"),
    MODULES: lua?.modules,
    LUA: lua?.path,
  };
  const text = readFileSync(here(`peers/${name}.conf`), "utf8");
  const file = join(folder, "nginx.conf");
  const filled = text.replace(/@([A-Z_]+)@/g, (mark, key) => (key in values ? values[key] : mark));
  writeFileSync(file, filled);
  // As root its worker would become another user, who cannot read these folders.
  const user = process.getuid?.() === 0 ? ["-g", "user root;"] : [];
  const child = await start(program, ["-p", folder, "-c", file, ...user], { port });
  return { port, pid: child.pid };
}
