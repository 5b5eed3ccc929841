import { Redis, type RedisOptions } from "ioredis";
import type { RedisConfig } from "../../config/config.js";
import { leanScript } from "./lean-script.js";
import { loadScripts, type RecordScripts } from "./scripts.js";

export type RecordRedis = Redis &
  RecordScripts & {
    /** Tells the server the scripts of every request, in whatever state it is. */
    teach(): Promise<void>;
  };

/** Where the server is, without user and password: what may be shown. */
export function placeOf({ sentinel, cluster, url }: RedisConfig): string {
  if (sentinel !== null) return `${sentinel.master} (sentinels ${sentinel.nodes.join(", ")})`;
  if (cluster !== null) return `${cluster.nodes.join(", ")} (cluster)`;
  const { hostname, port } = new URL(url);
  return `${hostname || "localhost"}:${port || "6379"}`;
}

/** How one node of a cluster is reached: by the user, the password and the TLS that serve for all of them. */
export function nodeConfig(config: RedisConfig, address: string): RedisConfig {
  const { protocol, username, password, pathname } = new URL(config.url);
  const user = username === "" && password === "" ? "" : `${username}:${password}@`;
  return { ...config, cluster: null, url: `${protocol}//${user}${address}${pathname}` };
}

/** `host:port`, where the host may be an IPv6 address in brackets. */
function addressOf(node: string): { host: string; port: number } {
  const colon = node.lastIndexOf(":");
  return { host: node.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(node.slice(colon + 1)) };
}

/**
 * Sentinels are asked for the primary at every new connection. `failoverDetector` stays off: with it a client whose
 * primary was killed ended for good.
 */
function sentinelOptions(sentinel: NonNullable<RedisConfig["sentinel"]>, isTls: boolean, commandTimeoutMs: number) {
  return {
    sentinels: sentinel.nodes.map(addressOf),
    name: sentinel.master,
    ...(sentinel.user ? { sentinelUsername: sentinel.user } : {}),
    ...(sentinel.password ? { sentinelPassword: sentinel.password } : {}),
    failoverDetector: false,
    // A sentinel that is frozen is passed over.
    sentinelCommandTimeout: commandTimeoutMs,
    sentinelRetryStrategy: (attempt: number) => Math.min(50 * attempt, 1_000),
    ...(isTls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
  } satisfies RedisOptions;
}

/**
 * The options of every connection. What is not set here would do harm:
 * - by default ioredis sends an unanswered command again on the next connection, so it may run twice unseen;
 * - it keeps commands for later while it is not connected, so they run long after their callers have given up;
 * - it introduces itself with CLIENT, which some managed services refuse.
 */
export function redisOptions(config: RedisConfig) {
  const url = new URL(config.url);
  const db = url.pathname.replace(/^\//, "");
  const isTls = url.protocol === "rediss:";
  if (!/^\d*$/.test(db)) throw new Error(`store.url: "${db}" is not the number of a database`);
  return {
    host: url.hostname.replace(/^\[|\]$/g, "") || "localhost",
    port: Number(url.port || 6379),
    db: Number(db),
    ...(url.username === "" ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === "" ? {} : { password: decodeURIComponent(url.password) }),
    ...(isTls ? { tls: {} } : {}),
    ...(config.sentinel === null ? {} : sentinelOptions(config.sentinel, isTls, config.commandTimeoutMs)),
    scripts: loadScripts(),
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    commandTimeout: config.commandTimeoutMs,
    disconnectTimeout: 500,
    connectTimeout: Math.max(1_000, config.commandTimeoutMs),
    disableClientInfo: true,
    retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
    // After a failover the old address may lead to a replica: a new connection finds the new primary.
    reconnectOnError: (error) => (error.message.startsWith("READONLY") ? 1 : false),
  } satisfies RedisOptions;
}

export interface ConnectionHooks {
  /** Told when the connection is lost, once, however many attempts then fail. */
  readonly onTrouble: (text: string) => void;
  /** Told when it is back. */
  readonly onRecovery: (text: string) => void;
}

export interface Connection {
  readonly client: RecordRedis;
  /** For good. */
  close(): Promise<void>;
}

/**
 * Connects, and comes back by itself until it is closed. Rejects with one plain sentence when the server has not
 * answered within `startTimeoutMs`, or at once when it refuses the user.
 */
export async function connectRedis(
  config: RedisConfig,
  hooks: ConnectionHooks,
  startTimeoutMs: number,
): Promise<Connection> {
  const options = redisOptions(config);
  const client = new Redis(options) as RecordRedis;
  client.claimBuffer = leanScript(client, options.scripts.claim, (reply) => reply as unknown[]);
  client.complete = leanScript(client, options.scripts.complete, String);
  client.teach = async () => {
    const { claim, complete } = options.scripts;
    await Promise.all([claim, complete].map(({ lua }) => client.script("LOAD", lua)));
  };
  const place = placeOf(config);
  try {
    await firstReady(client, place, startTimeoutMs);
  } catch (error) {
    // Whatever still fails on the way out has been said, and ioredis prints what nobody listens to.
    client.on("error", () => {});
    client.disconnect();
    throw error;
  }
  const mute = watchOver(client, place, hooks);
  return {
    client,
    async close() {
      mute();
      if (client.status === "ready") await client.quit().catch(() => {});
      client.disconnect();
    },
  };
}

function firstReady(client: Redis, place: string, startTimeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let reason = `no answer in ${startTimeoutMs} ms`;
    const settle = (error?: Error) => {
      clearTimeout(timer);
      client.off("ready", onReady);
      client.off("error", onError);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onReady = () => settle();
    const onError = (error: Error) => {
      reason = reasonOf(error);
      if (!/^(WRONGPASS|NOAUTH|NOPERM|ERR invalid password|ERR AUTH)/.test(reason)) return;
      settle(new Error(`Redis at ${place} refused the user name or password: ${reason}`));
    };
    const timer = setTimeout(() => settle(new Error(`Redis at ${place} cannot be reached: ${reason}`)), startTimeoutMs);
    client.on("ready", onReady);
    client.on("error", onError);
    client.connect().catch(() => {});
  });
}

/** A name with several addresses fails with an AggregateError, whose own message is empty. */
function reasonOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  // What ioredis calls unreachable may have answered that it has not heard of the name.
  if (/^All sentinels .*(No such master|invalid reply: null)/.test(error.message)) {
    return "no sentinel knows a primary of this name";
  }
  return error.message.replace(/^(All sentinels are unreachable)\. Retrying.*?ms\./, "$1.") || code || error.name;
}

/** Returns the way to stop it. */
function watchOver(client: Redis, place: string, hooks: ConnectionHooks): () => void {
  let isLost = false;
  let isMuted = false;
  const lost = (reason: string) => {
    if (isLost || isMuted) return;
    isLost = true;
    hooks.onTrouble(`Redis at ${place}: ${reason}`);
  };
  client.on("error", (error: Error) => lost(reasonOf(error)));
  client.on("close", () => lost("the connection was lost"));
  client.on("ready", () => {
    if (isLost && !isMuted) hooks.onRecovery(`Redis at ${place} answers again`);
    isLost = false;
  });
  // A connection broken off just as it was begun leaves ioredis at its end, where it does not try again.
  client.on("end", () => {
    if (!isMuted) setTimeout(() => isMuted || client.connect().catch(() => {}), 1_000);
  });
  return () => {
    isMuted = true;
  };
}
