import type { RedisConfig, StoreConfig } from "../config/config.js";
import type { EventHub } from "../events.js";
import { nearCache } from "./near-cache.js";
import { openQuorumStore } from "./quorum/open-quorum-store.js";
import type { RecordStore } from "./record-store.js";
import { openRedisStore } from "./redis/open-redis-store.js";
import { openEmbeddedStore } from "./sqlite/sqlite-store.js";
import { timedStore } from "./timed-store.js";

/** What one process keeps of finished records, so that a hot replay asks nobody. */
const nearCacheBytes = 32 * 1024 * 1024;

/**
 * The store that the configuration names, in its wrappings: a near cache around the clock that times what is really
 * asked, around the store. Throws an `Error` in one plain sentence when it cannot be had.
 */
export async function openStore(config: StoreConfig, hub: EventHub): Promise<RecordStore> {
  const store = config.type === "redis" ? await openRedis(config, hub) : await openEmbeddedStore(config, hooksOn(hub));
  return nearCache(timedStore(store, hub), { maxBytes: nearCacheBytes });
}

async function openRedis(config: RedisConfig, hub: EventHub): Promise<RecordStore> {
  const store = await openRedisStore(config, hooksOn(hub));
  if (config.locks.nodes.length === 0) return store;
  return openQuorumStore(store, {
    nodes: config.locks.nodes,
    keyPrefix: config.keyPrefix,
    commandTimeoutMs: config.commandTimeoutMs,
    hooks: {
      ...hooksOn(hub),
      onDoubt: ({ route, key, cause }) => hub.emit("inDoubt", { route, key: key.slice(0, 8), cause }),
    },
  });
}

function hooksOn(hub: EventHub) {
  return {
    onTrouble: (what: string, error?: Error) => hub.emit("fault", error === undefined ? { what } : { what, error }),
  };
}
