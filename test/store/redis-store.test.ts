import type { Redis } from "ioredis";
import t from "tap";
import { type RecordView, StoreUnavailableError } from "../../src/store/record-store.js";
import { doubtScore } from "../../src/store/redis/keys.js";
import { openRedisStore } from "../../src/store/redis/open-redis-store.js";
import type { RedisStore } from "../../src/store/redis/redis-store.js";
import { ageRecords, type RedisServer, redisBinary, redisConfig, startRedis } from "../redis-server.js";
import { storeContract } from "./contract.js";
import {
  answer,
  asking,
  flightOf,
  hour,
  leaseMs,
  leaseOn,
  minute,
  newKey,
  openRetentionMs,
  origin,
  refusal,
  retentionMs,
} from "./contract-material.js";

let opened = 0;

/** A store on a prefix of its own; `fail` is called with whatever it reports. */
async function openOn(server: RedisServer, fail: (text: string) => void) {
  const prefix = `t${opened++}:`;
  const config = redisConfig(server.url, { keyPrefix: prefix, commandTimeoutMs: 5_000 });
  const stores: RedisStore[] = [];
  const open = async () => {
    const store = await openRedisStore(config, { onTrouble: fail });
    stores.push(store);
    return store;
  };
  return {
    prefix,
    store: await open(),
    passTime: (ms: number) => ageRecords(server.admin, prefix, ms),
    another: open,
    reopen: open,
    close: async () => void (await Promise.all(stores.map((store) => store.close()))),
  };
}

async function contract(server: RedisServer): Promise<void> {
  await storeContract(t, "the Redis store", () => openOn(server, (text) => t.fail(text)));

  await t.test("every key it left has an expiry, and a name that tells nothing", async (t) => {
    const names = await server.admin.keys("*");
    t.ok(names.length > 100, "the contract left its records");
    for (const name of names) {
      if ((await server.admin.pttl(name)) < 0) t.fail(`${name} never expires`);
      if (!/^t\d+:\{([0-9a-f]{2})\}:(\1[0-9a-f]{62}|open)$/.test(name)) t.fail(`${name} is not a hash or an index`);
    }
  });
}

/** Whether the index of open records is right: what it should hold, by the records, and what it holds. */
async function openIndex(admin: Redis, prefix: string) {
  const wanted = new Map<string, number>();
  const found = new Map<string, number>();
  for (const name of await admin.keys(`${prefix}*`)) {
    if (name.endsWith(":open")) {
      const members = await admin.zrange(name, "0", "-1", "WITHSCORES");
      for (let index = 0; index < members.length; index += 2) found.set(members[index]!, Number(members[index + 1]));
      continue;
    }
    const [state, created] = await admin.hmget(name, "state", "created");
    const member = `${created}:${name.slice(-64)}`;
    if (state === "in_flight") wanted.set(member, Number(await admin.hget(name, "ends")));
    if (state === "in_doubt") wanted.set(member, doubtScore + (await admin.pexpiretime(name)));
  }
  return { wanted, found };
}

async function indexes(server: RedisServer): Promise<void> {
  await t.test("the index holds what is open and nothing else, for as long as it is", async (t) => {
    const { store, prefix, close, passTime } = await openOn(server, (text) => t.fail(text));
    t.teardown(close);
    const leases = Array.from({ length: 12 }, () => leaseOn(newKey()));
    for (const lease of leases) await store.claim(asking(lease));
    const [done, freed, withdrawn, stranded, extended, forgotten, resolved, decided, retaken, undone] = leases as [
      (typeof leases)[0],
      ...typeof leases,
    ];
    await store.complete(done, answer("x"), origin);
    await store.release(freed!, { landing: refusal, landingMs: hour });
    await store.withdraw(withdrawn!);
    for (const lease of [stranded!, forgotten!, resolved!, decided!, retaken!, undone!]) {
      await store.strand(lease, "reset", undefined, { ...origin, openRetentionMs: 3 * retentionMs });
    }
    await store.extend(extended!, 5 * leaseMs, 4 * retentionMs);
    await store.forget(forgotten!.key);
    await store.resolve(resolved!.key, { kind: "notDone" });
    await store.resolve(decided!.key, { kind: "done", response: answerOf("x"), retentionMs });
    await store.claim(asking(leaseOn(retaken!.key), { mayTake: true }));
    const taker = leaseOn(undone!.key);
    await store.claim(asking(taker, { mayTake: true }));
    await store.withdraw(taker);

    const { wanted, found } = await openIndex(server.admin, prefix);
    t.equal(wanted.size, 6);
    t.same([...found.keys()].sort(), [...wanted.keys()].sort());
    for (const [member, expires] of wanted) {
      t.ok(
        Math.abs(found.get(member)! - expires) < 1_000,
        "scored by the end of its lease, or by when it is forgotten",
      );
    }
    for (const name of await server.admin.keys(`${prefix}*`)) {
      if (!name.endsWith(":open")) continue;
      const members = await server.admin.zrange(name, "0", "-1", "WITHSCORES");
      const last = Number(members.at(-1));
      const endsAtMs = last > doubtScore ? last - doubtScore : last + openRetentionMs;
      t.ok((await server.admin.pexpiretime(name)) >= endsAtMs - 1_000, "outlives its longest member");
    }

    await passTime(leaseMs + 2 * retentionMs);
    const listed = await store.list({ limit: 100, state: "in_doubt" });
    const doubts = [stranded!, extended!, retaken!, undone!, ...leases.slice(10)];
    t.same(new Set(listed.records.map((view) => view.key)), new Set(doubts.map(({ key }) => key)));
  });

  await t.test("a sweep clears the index of what is forgotten", async (t) => {
    const { store, prefix, close, passTime } = await openOn(server, (text) => t.fail(text));
    t.teardown(close);
    const old = leaseOn(newKey());
    const next = leaseOn(`${old.key.slice(0, 2)}${newKey().slice(2)}` as typeof old.key);
    await store.claim(asking(old));
    await store.strand(old, "reset", undefined, origin);
    await passTime(openRetentionMs - minute / 2);
    await store.claim(asking(next));
    await passTime(minute);
    const index = `${prefix}{${old.key.slice(0, 2)}}:open`;
    t.equal(await server.admin.zcard(index), 2, "the record is gone, its entry is not");
    await store.sweep(10);
    const ids = (await server.admin.zrange(index, "0", "-1")).map((member) => member.slice(-64));
    t.same(ids, [next.key]);
  });
}

function answerOf(text: string) {
  const completion = answer(text);
  if (completion.kind !== "response") throw new Error("not a response");
  return completion.response;
}

async function scriptCalls(admin: Redis): Promise<number> {
  const stats = await admin.info("commandstats");
  return [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce((sum, match) => sum + Number(match[1]), 0);
}

async function traffic(server: RedisServer): Promise<void> {
  await t.test("the first time costs two round trips, a replay one", async (t) => {
    const { store, close } = await openOn(server, (text) => t.fail(text));
    t.teardown(close);
    const calls = async (run: () => Promise<unknown>) => {
      const before = await scriptCalls(server.admin);
      await run();
      return (await scriptCalls(server.admin)) - before;
    };
    const lease = leaseOn(newKey());
    const first = await calls(async () => {
      await store.claim(asking(lease));
      await store.complete(lease, answer("x"), origin);
    });
    t.equal(first, 2);
    t.equal(await calls(() => store.claim(asking(leaseOn(lease.key)))), 1);
  });

  await t.test("scripts that the server has forgotten are sent again", async (t) => {
    const { store, close } = await openOn(server, (text) => t.fail(text));
    t.teardown(close);
    for (let turn = 0; turn < 20; turn++) {
      const leases = Array.from({ length: 5 }, () => leaseOn(newKey()));
      const claims = leases.map((lease) => store.claim(asking(lease)));
      const flushed = server.admin.script("FLUSH");
      const stored = leases.map(async (lease, index) => {
        t.equal((await claims[index])?.kind, "won");
        return await store.complete(lease, answer("x"), origin);
      });
      t.same(await Promise.all(stored), Array(5).fill("stored"));
      await flushed;
      t.equal((await store.peek(leases[0]!.key, true))?.state, "completed");
    }
  });

  await t.test("watchers hear of changes, and of those their connection missed", async (t) => {
    const { store, close, another } = await openOn(server, (text) => t.fail(text));
    t.teardown(close);
    const remote = await another();
    const lease = leaseOn(newKey());
    await remote.claim(asking(lease));
    const wakes = new Wakeups();
    const stop = store.watch(lease.key, () => wakes.add());
    const second = store.watch(lease.key, () => {});
    await wakes.reach(1); // The subscription is confirmed.
    await remote.strand(lease, "reset", undefined, origin);
    await wakes.reach(2);
    await server.admin.call("CLIENT", "KILL", "TYPE", "pubsub");
    await remote.release(lease, { landing: refusal, landingMs: hour });
    await wakes.reach(3); // Subscribed again: what was said meanwhile is read.
    t.equal((await store.claim(asking(leaseOn(lease.key), { after: flightOf(lease) }))).kind, "landed");
    await remote.claim(asking(leaseOn(newKey())));
    stop();
    stop();
    second();
    const subscribed = async () => (await server.admin.pubsub("CHANNELS", "*")) as string[];
    for (let turn = 0; (await subscribed()).length > 0 && turn < 100; turn++);
    t.same(await subscribed(), [], "nobody waits, nothing is subscribed");
  });

  await t.test("a listing that walks the keys in many stretches gives each record once, newest first", async (t) => {
    const { store, prefix, close } = await openOn(server, (text) => t.fail(text));
    t.teardown(close);
    const leases = Array.from({ length: 1_500 }, () => leaseOn(newKey()));
    await Promise.all(leases.map((lease) => store.complete(lease, answer("x"), origin)));
    // Half of them of one instant, so that pages end among equals.
    const [{ createdAtMs }] = (await store.list({ limit: 1 })).records as [RecordView];
    const created = (key: string) => server.admin.hset(`${prefix}{${key.slice(0, 2)}}:${key}`, "created", createdAtMs);
    await Promise.all(leases.slice(750).map(({ key }) => created(key)));
    const found: string[] = [];
    let before = Number.POSITIVE_INFINITY;
    let cursor: string | null | undefined;
    for (let page = 0; cursor !== null && page < 20; page++) {
      const listed = await store.list({ limit: 200, state: "completed", cursor });
      for (const view of listed.records) {
        if (view.createdAtMs > before) t.fail("not newest first");
        before = view.createdAtMs;
        found.push(view.key);
      }
      cursor = listed.cursor;
    }
    t.same(found.sort(), leases.map((lease) => lease.key).sort());
  });

  await t.test("behind a cursor that is none there is nothing", async (t) => {
    const { store, close } = await openOn(server, (text) => t.fail(text));
    t.teardown(close);
    await store.claim(asking(leaseOn(newKey())));
    for (const cursor of ["", "x", "NaN", "9".repeat(16)]) {
      t.same(await store.list({ limit: 10, cursor }), { records: [], cursor: null });
    }
  });

  await t.test("a record of a later format is left alone", async (t) => {
    const { store, prefix, close } = await openOn(server, (text) => t.fail(text));
    t.teardown(close);
    const { key } = leaseOn(newKey());
    const name = `${prefix}{${key.slice(0, 2)}}:${key}`;
    await server.admin.hset(name, "v", "2", "state", "in_flight");
    await server.admin.pexpire(name, String(minute));
    for (const ask of [() => store.claim(asking(leaseOn(key))), () => store.peek(key, true)]) {
      const error = await ask().then(
        () => undefined,
        (error: Error) => error,
      );
      t.match(error?.message, /has format 2, which this version does not know/);
      t.notOk(error instanceof StoreUnavailableError);
    }
    t.same(await server.admin.hgetall(name), { v: "2", state: "in_flight" });
  });
}

/** Counts wake-ups, and waits for the nth. */
class Wakeups {
  #count = 0;
  #waiting: (() => void) | undefined;

  add(): void {
    this.#count += 1;
    this.#waiting?.();
  }

  async reach(count: number): Promise<void> {
    while (this.#count < count) await new Promise<void>((resolve) => (this.#waiting = resolve));
  }
}

const binary = await redisBinary(t);
if (binary !== undefined) {
  const server = await startRedis(binary);
  t.teardown(() => server.stop());
  await contract(server);
  await indexes(server);
  await traffic(server);
}
