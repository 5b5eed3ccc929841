import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { endWithMe } from "./guardian.js";
import { freePort, type RedisServer, startRedis } from "./redis-server.js";

const localhost = "127.0.0.1";

/** As of tap: what to do at the end, the last first. */
export interface Owner {
  teardown(handler: () => unknown): void;
}

export async function folderOf(t: Owner): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "ig-redis-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Bounded: whatever has not become true in twenty seconds never will. */
export async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const endMs = Date.now() + 20_000;
  while (Date.now() < endMs) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`never came true: ${what}`);
}

async function infoOf(server: RedisServer, field: string): Promise<string | undefined> {
  const info = await server.admin.info();
  return new RegExp(`^${field}:(.*)\r$`, "m").exec(info)?.[1];
}

export const roleOf = (server: RedisServer) => infoOf(server, "role");

/** A primary and replicas that have all it has. */
export async function startReplicated(t: Owner, binary: string, replicas: number, settings: readonly string[] = []) {
  const start = async (...options: string[]) => {
    const server = await startRedis(binary, [
      "--repl-diskless-sync-delay",
      "0",
      "--dir",
      await folderOf(t),
      ...settings,
      ...options,
    ]);
    t.teardown(() => server.stop());
    return server;
  };
  const primary = await start();
  const all = [primary];
  for (let index = 0; index < replicas; index++) {
    all.push(await start("--replicaof", localhost, String(primary.port)));
  }
  for (const replica of all.slice(1)) {
    await until("the replica follows", async () => (await infoOf(replica, "master_link_status")) === "up");
  }
  return { primary, replicas: all.slice(1), all };
}

/** Three of them, two of which decide. Returns their addresses when each knows the others and the replicas. */
export async function startSentinels(t: Owner, binary: string, primary: RedisServer, replicas: number) {
  const sentinels = [];
  for (let index = 0; index < 3; index++) sentinels.push(await startSentinel(t, binary, primary));
  for (const { admin } of sentinels) {
    await until("the sentinels know one another", async () => {
      const known = (await admin.call("SENTINEL", "MASTER", "main")) as string[];
      const has = (field: string) => Number(known[known.indexOf(field) + 1]);
      return has("num-slaves") === replicas && has("num-other-sentinels") === 2;
    });
  }
  return sentinels.map(({ port }) => `${localhost}:${port}`);
}

/** Tries again on another port: between its being found free and its being taken, somebody else may have got it. */
async function startSentinel(t: Owner, binary: string, primary: RedisServer): Promise<{ port: number; admin: Redis }> {
  for (let turn = 0; turn < 5; turn++) {
    const port = await freePort();
    const file = join(await folderOf(t), "sentinel.conf");
    const lines = [
      `port ${port}`,
      `bind ${localhost}`,
      "loglevel warning",
      `sentinel monitor main ${localhost} ${primary.port} 2`,
      // On a busy machine a shorter silence is none, and the sentinels would change their minds again and again.
      "sentinel down-after-milliseconds main 2000",
      "sentinel failover-timeout main 3000",
    ];
    await writeFile(file, `${lines.join("\n")}\n`);
    const child = spawn(binary, [file, "--sentinel"], { stdio: "ignore" });
    endWithMe(child);
    const admin = new Redis({ host: localhost, port, retryStrategy: () => 50 });
    admin.on("error", () => {});
    t.teardown(async () => {
      admin.disconnect();
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    });
    const isOver = () => child.exitCode !== null || child.signalCode !== null;
    const isUp = () => admin.call("SENTINEL", "MYID").then(Boolean, () => false);
    await until("a sentinel runs or ends", async () => isOver() || (await isUp()));
    if (!isOver()) return { port, admin };
  }
  throw new Error("no sentinel could be started");
}

/** Three primaries that share the slots; the first one may have a replica. A shard that is down leaves the others up. */
export async function startCluster(t: Owner, binary: string, replicas: 0 | 1, settings: readonly string[] = []) {
  const buses = new Map<RedisServer, number>();
  const start = async () => {
    const bus = await freePort();
    const folder = await folderOf(t);
    const cluster = ["--cluster-enabled", "yes", "--cluster-port", String(bus), "--cluster-node-timeout", "1500"];
    const rest = ["--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0", "--dir", folder];
    const server = await startRedis(binary, [...cluster, ...rest, ...settings]);
    t.teardown(() => server.stop());
    buses.set(server, bus);
    return server;
  };
  const all: RedisServer[] = [];
  for (let index = 0; index < 3 + replicas; index++) all.push(await start());
  const primaries = all.slice(0, 3);
  for (const [index, { admin }] of primaries.entries()) {
    const first = index * 5461;
    await admin.call("CLUSTER", "ADDSLOTSRANGE", first, index === 2 ? 16383 : first + 5460);
    await admin.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
  }
  for (const server of all.slice(1)) {
    await all[0]!.admin.call("CLUSTER", "MEET", localhost, server.port, buses.get(server)!);
  }
  for (const { admin } of all) {
    await until("the nodes know one another", async () => {
      const info = (await admin.call("CLUSTER", "INFO")) as string;
      return info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${all.length}`);
    });
  }
  for (const replica of all.slice(3)) {
    await replica.admin.call("CLUSTER", "REPLICATE", await nodeIdOf(primaries[0]!));
    await until("the replica follows", async () => (await infoOf(replica, "master_link_status")) === "up");
    for (const { admin } of all) {
      await until("all know of the replica", async () =>
        /slave/.test((await admin.call("CLUSTER", "NODES")) as string),
      );
    }
  }
  return { primaries, replicas: all.slice(3), all, nodes: all.map(({ port }) => `${localhost}:${port}`) };
}

export async function nodeIdOf({ admin }: RedisServer): Promise<string> {
  return (await admin.call("CLUSTER", "MYID")) as string;
}
