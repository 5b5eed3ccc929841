import { Redis } from "ioredis";
import type { RedisConfig } from "../../config/config.js";
import type { RecordKey } from "../../model.js";
import { Breaker } from "./breaker.js";
import { connectRedis, placeOf, type RecordRedis, redisOptions } from "./connect.js";
import { KeyNames } from "./keys.js";
import { inspectRedis, objection } from "./preflight.js";
import { RedisStore } from "./redis-store.js";
import { ServerClock } from "./server-clock.js";
import { Wakes } from "./wake.js";

export interface RedisHooks {
  /** Something an operator should know, in words, without secrets. Once for each change for the worse. */
  readonly onTrouble: (text: string) => void;
  readonly onRecovery?: (text: string) => void;
  /** How long the server may take to answer for the first time, ms. */
  readonly startTimeoutMs?: number;
}

/** Rejects with one plain sentence that names the server, and no secret, when records cannot be kept there. */
export async function openRedisStore(config: RedisConfig, hooks: RedisHooks): Promise<RedisStore> {
  const names = new KeyNames(config.keyPrefix);
  const place = placeOf(config);
  const { onTrouble, onRecovery = () => {}, startTimeoutMs = 5_000 } = hooks;
  const { client, close } = await connectRedis(config, { onTrouble, onRecovery }, startTimeoutMs);
  const inspect = async () => {
    const reason = (await reasonAgainst(client, config.requireNoEviction)) ?? (await refusedRight(client, names));
    return reason === undefined ? undefined : `Redis at ${place} ${reason}`;
  };
  const refusal = await inspect();
  if (refusal !== undefined) {
    await close();
    throw new Error(refusal);
  }
  const clock = new ServerClock();
  const breaker = new Breaker({
    probe: () => client.ping(),
    missesToOpen: 3,
    probeEveryMs: config.commandTimeoutMs,
    missesToSilence: 10,
    onOpen: () => onTrouble(`Redis at ${place} has stopped answering`),
    onClose: () => onRecovery(`Redis at ${place} answers again`),
    onSilence: () => client.status === "ready" && client.disconnect(true),
  });
  client.on("ready", () => {
    clock.forget();
    breaker.answered();
    // It may be another server than before, or the same one with other settings.
    inspect().then(
      (trouble) => trouble !== undefined && onTrouble(trouble),
      () => {},
    );
  });
  const { scripts: _, ...options } = redisOptions(config);
  const wakes = new Wakes(() => new Redis(options), onTrouble);
  const store = new RedisStore({
    client,
    names,
    breaker,
    clock,
    wakes,
    commandTimeoutMs: config.commandTimeoutMs,
    async close() {
      breaker.stop();
      wakes.close();
      await close();
    },
  });
  // So that the first claim is not the one to learn the time.
  await store.ping();
  return store;
}

async function reasonAgainst(client: RecordRedis, requireNoEviction: boolean): Promise<string | undefined> {
  try {
    const reason = objection(await inspectRedis(client), requireNoEviction);
    if (reason !== undefined) return reason;
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("NOPERM")) throw error;
    if (requireNoEviction) return infoDenied;
  }
  return undefined;
}

/** Tries a script on a record that cannot be there: what the user may not do is better known now than at a claim. */
async function refusedRight(client: RecordRedis, names: KeyNames): Promise<string | undefined> {
  try {
    await client.peekBuffer(names.record("0".repeat(64) as RecordKey), "0");
    return undefined;
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("NOPERM")) throw error;
    return `refuses what the store needs: ${error.message}`;
  }
}

const infoDenied =
  "does not permit INFO, so nobody can see whether it may evict records. Permit it (ACL: +info), or do without the check with store.requireNoEviction: false";
