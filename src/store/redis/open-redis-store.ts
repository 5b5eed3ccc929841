import type { RedisConfig } from "../../config/config.js";
import { ClusterPrimaries } from "./cluster.js";
import { KeyNames } from "./keys.js";
import { OnePrimary } from "./primaries.js";
import { RedisStore } from "./redis-store.js";
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
  const { onTrouble, onRecovery = () => {}, startTimeoutMs = 5_000 } = hooks;
  const { cluster, commandTimeoutMs } = config;
  const options = { config, names, hooks: { onTrouble, onRecovery }, startTimeoutMs };
  const primaries =
    cluster === null
      ? await OnePrimary.open(options)
      : await ClusterPrimaries.open({ ...options, config: { ...config, cluster } });
  const wakes = new Wakes(() => primaries.openSubscriber(), onTrouble);
  return new RedisStore({ primaries, names, wakes, commandTimeoutMs });
}
