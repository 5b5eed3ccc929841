import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import type { Test } from "tap";
import type { RedisConfig } from "../src/config/config.js";
import { endWithMe } from "./guardian.js";

const script = fileURLToPath(new URL("../scripts/redis.mjs", import.meta.url));

/** A real server on a free port of the loopback address, for one test. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** For the test's own questions; it waits while the server is away. */
  readonly admin: Redis;
  /** `kill -9`, and back on the same port with the same data folder. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** SIGSTOP and SIGCONT: it keeps its connections and answers nothing. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
}

/**
 * The path of a redis-server. Without one, a test that needs it is skipped, and says so loudly; where `CI` is set it
 * fails instead, since a suite that skips is green for the wrong reason.
 */
export async function redisBinary(t: Test): Promise<string | undefined> {
  try {
    return (await promisify(execFile)(process.execPath, [script])).stdout.trim();
  } catch (error) {
    const reason = (error as { stderr?: string }).stderr ?? String(error);
    if (process.env.CI) t.fail(`these tests need a Redis server: ${reason}`);
    else {
      console.error(`\n*** NOT TESTED AGAINST REDIS ***\n${reason}`);
      t.pass("skipped, no Redis server", { skip: "no Redis server" });
    }
    return undefined;
  }
}

export function redisConfig(url: string, changes: Partial<RedisConfig> = {}): RedisConfig {
  return {
    type: "redis",
    url,
    sentinel: null,
    cluster: null,
    keyPrefix: "ig:",
    commandTimeoutMs: 500,
    waitReplicas: 0,
    requireNoEviction: true,
    locks: { nodes: [] },
    ...changes,
  };
}

/** `options` as on the command line: `["--appendonly", "yes", "--dir", folder]`. */
export async function startRedis(binary: string, options: readonly string[] = []): Promise<RedisServer> {
  const port = await freePort();
  let child: ChildProcess | undefined;
  const password = options[options.indexOf("--requirepass") + 1];
  const admin = new Redis({
    port,
    host: "127.0.0.1",
    lazyConnect: true,
    ...(options.includes("--requirepass") ? { password: password! } : {}),
    retryStrategy: () => 50,
  });
  admin.on("error", () => {});

  const start = async () => {
    const base = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"];
    child = spawn(binary, [...base, ...options], { stdio: "ignore" });
    endWithMe(child);
    if (admin.status === "wait") void admin.connect().catch(() => {});
    await answering(admin);
  };
  const end = async (signal: NodeJS.Signals) => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const gone = once(running, "exit");
    running.kill(signal);
    // A frozen one sees SIGTERM only when it runs again.
    if (signal !== "SIGKILL") running.kill("SIGCONT");
    await gone;
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    admin,
    start,
    kill: () => end("SIGKILL"),
    freeze: () => void child?.kill("SIGSTOP"),
    thaw: () => void child?.kill("SIGCONT"),
    async stop() {
      admin.disconnect();
      await end("SIGKILL");
    },
  };
}

/** Bounded: a server that does not come up in ten seconds never will. */
async function answering(admin: Redis): Promise<void> {
  const until = Date.now() + 10_000;
  while (Date.now() < until) {
    if ((await admin.ping().catch(() => "")) === "PONG") return;
  }
  throw new Error("the Redis server did not come up");
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/**
 * Moves time by moving the data: every instant in the records and indexes under the prefix becomes `ms` older, every
 * expiry `ms` nearer. The scripts and the server's clock stay as they are in production.
 */
export async function ageRecords(admin: Redis, prefix: string, ms: number): Promise<void> {
  await admin.eval(aging, 0, `${prefix}*`, ms);
}

const aging = `
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local left = redis.call('PTTL', key) - ARGV[2]
  if redis.call('TYPE', key).ok == 'hash' then
    for _, field in ipairs({'ends', 'created', 'changed'}) do
      local at = redis.call('HGET', key, field)
      if at then redis.call('HSET', key, field, string.format('%.0f', at - ARGV[2])) end
    end
  elseif redis.call('TYPE', key).ok == 'zset' then
    local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    redis.call('ZREMRANGEBYRANK', key, 0, -1)
    for index = 1, #members, 2 do
      local created, id = string.match(members[index], '^(%d+):(%x+)$')
      -- Of a lease its end, of a doubt 1e15 and when it is forgotten.
      redis.call('ZADD', key, members[index + 1] - ARGV[2], string.format('%.0f', created - ARGV[2]) .. ':' .. id)
    end
  end
  if left <= 0 then redis.call('DEL', key) else redis.call('PEXPIRE', key, left) end
end`;
