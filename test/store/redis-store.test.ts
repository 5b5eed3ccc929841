import t from "tap";
import type { RedisConfig } from "../../src/config/config.js";
import { openRedisStore } from "../../src/store/redis/open-redis-store.js";
import type { RedisStore } from "../../src/store/redis/redis-store.js";
import { ageRecords, redisBinary, startRedis } from "../redis-server.js";
import { storeContract } from "./contract.js";

const binary = await redisBinary(t);
if (binary === undefined) process.exit();

const config = (url: string, changes: Partial<RedisConfig> = {}): RedisConfig => ({
  type: "redis",
  url,
  sentinel: null,
  cluster: null,
  keyPrefix: "ig:",
  commandTimeoutMs: 2_000,
  waitReplicas: 0,
  requireNoEviction: true,
  locks: { nodes: [] },
  ...changes,
});

const shared = await startRedis(binary);
t.teardown(() => shared.stop());
let opened = 0;

await storeContract(t, "the Redis store", async () => {
  const own = config(shared.url, { keyPrefix: `t${opened++}:` });
  const stores: RedisStore[] = [];
  const open = async () => {
    const store = await openRedisStore(own, { onTrouble: (text) => t.fail(text) });
    stores.push(store);
    return store;
  };
  return {
    store: await open(),
    passTime: (ms) => ageRecords(shared.admin, own.keyPrefix, ms),
    another: open,
    reopen: open,
    close: async () => void (await Promise.all(stores.map((store) => store.close()))),
  };
});
