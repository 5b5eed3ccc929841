import type { StoreConfig } from "../config/config.js";
import type { EventHub } from "../events.js";
import { openEmbeddedStore } from "./embedded/embedded-store.js";
import type { RecordStore } from "./record-store.js";
import { openRedisStore } from "./redis/open-redis-store.js";
import { timedStore } from "./timed-store.js";

/**
 * The store that the configuration names: the only place that knows which there are. Throws an `Error` in one plain
 * sentence when it cannot be had.
 */
export async function openStore(config: StoreConfig, hub: EventHub): Promise<RecordStore> {
  const onTrouble = (what: string, error?: Error) =>
    hub.emit("fault", error === undefined ? { what } : { what, error });
  const store =
    config.type === "redis"
      ? await openRedisStore(config, { onTrouble })
      : await openEmbeddedStore(config, { onTrouble });
  return timedStore(store, hub);
}
