import t, { type Test } from "tap";
import { StoreUnavailableError } from "../../src/store/record-store.js";
import { openRedisStore } from "../../src/store/redis/open-redis-store.js";
import type { RedisStore } from "../../src/store/redis/redis-store.js";
import { ageRecords, type RedisServer, redisBinary, redisConfig } from "../redis-server.js";
import { startReplicated } from "../redis-topology.js";
import { storeContract } from "./contract.js";
import { answer, asking, leaseOn, newKey, origin } from "./contract-material.js";

let opened = 0;

async function openOn(t: Test, server: RedisServer, changes: Parameters<typeof redisConfig>[1] = {}) {
  const keyPrefix = `w${opened++}:`;
  const config = redisConfig(server.url, { keyPrefix, waitReplicas: 1, commandTimeoutMs: 5_000, ...changes });
  const store = await openRedisStore(config, { onTrouble: (text) => t.comment(text) });
  t.teardown(() => store.close());
  return { store, config, keyPrefix };
}

async function refused(promise: Promise<unknown>): Promise<StoreUnavailableError> {
  const error = await promise.then(
    (claim) => new Error(`answered ${JSON.stringify(claim)}`),
    (error: Error) => error,
  );
  if (error instanceof StoreUnavailableError) return error;
  throw error;
}

async function callsOf({ admin }: RedisServer, command: string): Promise<number> {
  const stats = await admin.info("commandstats");
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
}

const shortly = { commandTimeoutMs: 400 };

async function missing(primary: RedisServer, replica: RedisServer): Promise<void> {
  await t.test("what the replica does not confirm is refused, and nothing is left claimed", async (t) => {
    const { store, keyPrefix } = await openOn(t, primary, shortly);
    const [done, doubted] = [leaseOn(newKey()), leaseOn(newKey())];
    for (const lease of [done, doubted]) t.equal((await store.claim(asking(lease))).kind, "won");
    await store.complete(done, answer("x"), origin);
    await store.strand(doubted, "timeout", undefined, origin);

    replica.freeze();
    t.teardown(() => replica.thaw());
    const fresh = Array.from({ length: 30 }, () => leaseOn(newKey()));
    const claims = fresh.map((lease) => refused(store.claim(asking(lease))));
    claims.push(refused(store.claim(asking(leaseOn(doubted.key), { mayTake: true }))));
    for (const error of await Promise.all(claims)) {
      t.equal(error.mayHaveRun, false, "undone already");
      t.match(String(error.cause), /too few replicas/);
    }
    t.same(
      (await primary.admin.keys(`${keyPrefix}*`)).filter((name) => /[0-9a-f]{64}$/.test(name)).length,
      2,
      "no record but those of before",
    );
    t.same((await store.list({ limit: 10, state: "in_flight" })).records, []);
    t.match(await store.claim(asking(leaseOn(doubted.key))), { kind: "inDoubt", cause: "timeout" });
    t.equal((await store.claim(asking(leaseOn(done.key)))).kind, "done", "replays need no replica");

    replica.thaw();
    // The link may have been cut meanwhile; it comes back by itself.
    let claim = await store.claim(asking(fresh[0]!)).catch(() => undefined);
    for (let turn = 0; claim === undefined && turn < 50; turn++) {
      claim = await store.claim(asking(fresh[0]!)).catch(() => undefined);
    }
    t.match(claim, { kind: "won", attempts: 1, taken: null });
    t.match(await store.claim(asking(leaseOn(doubted.key), { mayTake: true })), { kind: "won", taken: "timeout" });
  });

  await t.test(
    "while one claim waits for replicas nothing else waits, and the next ones are told at once",
    async (t) => {
      const { store } = await openOn(t, primary, { commandTimeoutMs: 2_000 });
      const done = leaseOn(newKey());
      await store.claim(asking(done));
      await store.complete(done, answer("x"), origin);
      replica.freeze();
      t.teardown(() => replica.thaw());
      await refused(store.claim(asking(leaseOn(newKey()))));
      const ended: string[] = [];
      const probing = refused(store.claim(asking(leaseOn(newKey())))).then(() => ended.push("the one that waits"));
      const before = await callsOf(primary, "wait");
      t.equal((await store.claim(asking(leaseOn(done.key)))).kind, "done");
      ended.push("a replay");
      await Promise.all(Array.from({ length: 20 }, () => refused(store.claim(asking(leaseOn(newKey()))))));
      ended.push("twenty others");
      await probing;
      t.same(ended, ["a replay", "twenty others", "the one that waits"]);
      t.ok((await callsOf(primary, "wait")) - before <= 1, "only one asked the replicas");
    },
  );
}

async function together(primary: RedisServer): Promise<void> {
  await t.test("claims won together are confirmed together", async (t) => {
    const { store, keyPrefix } = await openOn(t, primary);
    const before = await callsOf(primary, "wait");
    const claims = Array.from({ length: 300 }, () => store.claim(asking(leaseOn(newKey()))));
    for (const { kind } of await Promise.all(claims)) if (kind !== "won") t.fail(kind);
    const asked = (await callsOf(primary, "wait")) - before;
    t.comment(`300 claims, ${asked} WAIT`);
    t.ok(asked >= 1 && asked < 100);
    const marks = (await primary.admin.keys(`${keyPrefix}*`)).filter((name) => name.endsWith(":wait"));
    t.ok(marks.length >= 1);
    for (const name of marks) {
      t.match(name, /^w\d+:\{[0-9a-f]{2}\}:wait$/, "tells nothing");
      t.ok((await primary.admin.pttl(name)) > 0, "expires");
    }
  });

  await t.test("more replicas than there are: refused", async (t) => {
    const { store } = await openOn(t, primary, { ...shortly, waitReplicas: 2 });
    const lease = leaseOn(newKey());
    t.equal((await refused(store.claim(asking(lease)))).mayHaveRun, false);
    t.equal(await store.peek(lease.key, false), undefined);
  });
}

const binary = await redisBinary(t);
if (binary !== undefined) {
  const { primary, replicas } = await startReplicated(t, binary, 1);
  await together(primary);
  await missing(primary, replicas[0]!);
  await storeContract(t, "the Redis store with replicas that confirm", async () => {
    const { store, config, keyPrefix } = await openOn(t, primary);
    const others: RedisStore[] = [];
    const open = async () => {
      const other = await openRedisStore(config, { onTrouble: (text) => t.fail(text) });
      others.push(other);
      return other;
    };
    return {
      store,
      passTime: (ms: number) => ageRecords(primary.admin, keyPrefix, ms),
      another: open,
      close: async () => void (await Promise.all([store, ...others].map((one) => one.close()))),
    };
  });
}
