import { setTimeout as pause } from "node:timers/promises";
import t, { type Test } from "tap";
import type { Lease, RecordKey } from "../../src/model.js";
import { openQuorumStore } from "../../src/store/quorum/open-quorum-store.js";
import type { Doubt } from "../../src/store/quorum/quorum-store.js";
import { type RecordStore, StoreUnavailableError } from "../../src/store/record-store.js";
import { openRedisStore } from "../../src/store/redis/open-redis-store.js";
import { type RedisServer, redisBinary, startRedis } from "../redis-server.js";
import { storeContract } from "./contract.js";
import { answer, asking, leaseMs, leaseOn, mine, newKey, origin, retentionMs, states } from "./contract-material.js";
import { MemoryStore } from "./memory-store.js";

const binary = await redisBinary(t);
if (binary === undefined) process.exit();

process.on("unhandledRejection", (error) => t.fail(`nobody handled ${error}`));

const shared = await Promise.all([1, 2, 3].map(() => startRedis(binary)));
t.teardown(() => Promise.all(shared.map((node) => node.stop())));
let opened = 0;

/** Moves the locks under the prefix as `ageRecords` moves records. */
const aging = `
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local left = redis.call('PTTL', key) - ARGV[2]
  if left <= 0 then redis.call('DEL', key) else redis.call('PEXPIRE', key, left) end
end`;

await storeContract(t, "the quorum store", async () => {
  const memory = new MemoryStore();
  const keyPrefix = `c${opened++}:`;
  const stores: RecordStore[] = [];
  let passedMs = 0;
  const open = async () => {
    const store = await openQuorumStore(memory, {
      nodes: shared.map(({ url }) => url),
      keyPrefix,
      commandTimeoutMs: 2_000,
      hooks: { onTrouble: (text) => t.fail(text), onDoubt: (doubt) => t.fail(`nobody asked for ${doubt.cause}`) },
      now: () => performance.now() + passedMs,
    });
    stores.push(store);
    return store;
  };
  return {
    store: await open(),
    async passTime(ms) {
      memory.passTime(ms);
      passedMs += ms;
      await Promise.all(shared.map(({ admin }) => admin.eval(aging, 0, `${keyPrefix}*`, ms)));
    },
    another: open,
    close: async () => void (await Promise.all(stores.map((store) => store.close()))),
  };
});

interface Scene {
  readonly nodes: readonly RedisServer[];
  readonly records: RedisServer;
  readonly store: RecordStore;
  /** Another process, with its own connections to that many nodes at least. */
  another(count?: number): Promise<RecordStore>;
  readonly doubts: Doubt[];
  readonly troubles: string[];
  readonly recoveries: string[];
}

/** Records in one server and locks in three others, all of them this test's own. */
async function scene(t: Test, commandTimeoutMs = 400): Promise<Scene> {
  const [records, ...nodes] = await Promise.all([1, 2, 3, 4].map(() => startRedis(binary!)));
  t.teardown(() => Promise.all([records!, ...nodes].map((server) => server.stop())));
  const [doubts, troubles, recoveries] = [[] as Doubt[], [] as string[], [] as string[]];
  const another = async (count = nodes.length) => {
    const inner = await openRedisStore(
      {
        type: "redis",
        url: records!.url,
        sentinel: null,
        cluster: null,
        keyPrefix: "ig:",
        commandTimeoutMs: 2_000,
        waitReplicas: 0,
        requireNoEviction: true,
        locks: { nodes: [] },
      },
      { onTrouble: (text) => troubles.push(text) },
    );
    const store = await openQuorumStore(inner, {
      nodes: nodes.map(({ url }) => url),
      keyPrefix: "ig:",
      commandTimeoutMs,
      hooks: {
        onTrouble: (text) => troubles.push(text),
        onRecovery: (text) => recoveries.push(text),
        onDoubt: (doubt) => doubts.push(doubt),
      },
    });
    t.teardown(() => store.close());
    if (count === nodes.length) await until("all nodes vote", () => isAskingAll(store, nodes));
    return store;
  };
  return { nodes, records: records!, store: await another(), another, doubts, troubles, recoveries };
}

/** A majority is enough to start, and to win a claim; a test that takes nodes away wants all of them there before. */
async function isAskingAll(store: RecordStore, nodes: readonly RedisServer[]): Promise<boolean> {
  const lease = leaseOn(newKey());
  await store.claim(asking(lease));
  const votes = async () => {
    const found = await Promise.all(nodes.map(({ admin }) => admin.exists(lockOf(lease.key))));
    return found.reduce((sum, vote) => sum + vote, 0);
  };
  for (let look = 0; look < 20 && (await votes()) < nodes.length; look++) await pause(5);
  const isWhole = (await votes()) === nodes.length;
  await store.withdraw(lease);
  await until("the release", async () => (await votes()) === 0);
  return isWhole;
}

/** Bounded: what has not come true in ten seconds never will. */
async function until(what: string, isTrue: () => Promise<boolean> | boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (performance.now() < end) {
    if (await isTrue()) return;
    await pause(10);
  }
  throw new Error(`${what}: not in ten seconds`);
}

const lockOf = (key: RecordKey) => `ig:lock:${key}`;

t.test("locks are named for record ids alone, and every one has an end", async (t) => {
  const { nodes, store } = await scene(t);
  const lease = leaseOn(newKey());
  await store.claim(asking(lease));
  await until("the third vote", async () =>
    (await Promise.all(nodes.map((n) => n.admin.dbsize()))).every((n) => n > 0),
  );
  for (const { admin } of nodes) {
    t.same(await admin.keys("*"), [lockOf(lease.key)]);
    const leftMs = await admin.pttl(lockOf(lease.key));
    t.ok(leftMs > leaseMs && leftMs < leaseMs * 1.05, `${leftMs} ms`);
  }
  await store.complete(lease, answer("done"), origin);
  await until("the release", async () => (await Promise.all(nodes.map((n) => n.admin.dbsize()))).every((n) => n === 0));
});

t.test("a claim never overtakes the release before it, also after SCRIPT FLUSH", async (t) => {
  // A record store that is nearer than the nodes.
  const store = await openQuorumStore(new MemoryStore(), {
    nodes: shared.map(({ url }) => url),
    keyPrefix: "near:",
    commandTimeoutMs: 2_000,
    hooks: { onTrouble: (text) => t.fail(text), onDoubt: () => t.fail("nothing is in doubt") },
  });
  t.teardown(() => store.close());
  const key = newKey();
  for (let turn = 0; turn < 5; turn++) {
    await Promise.all(shared.map(({ admin }) => admin.script("FLUSH")));
    for (const attempts of [2 * turn + 1, 2 * turn + 2]) {
      const lease = leaseOn(key);
      t.match(await store.claim(asking(lease)), { kind: "won", attempts });
      t.equal(await store.release(lease), "released");
    }
  }
});

t.test("a replay never touches the lock nodes", async (t) => {
  const { nodes, store } = await scene(t);
  const { key } = await states.completed!(store, newKey());
  await until("the release", async () => (await nodes[0]!.admin.exists(lockOf(key))) === 0);
  const commands = async () => /cmdstat_eval:calls=(\d+)/.exec(await nodes[0]!.admin.info("commandstats"))?.[1];
  const before = await commands();
  for (let turn = 0; turn < 5; turn++) t.equal((await store.claim(asking(leaseOn(key)))).kind, "done");
  t.equal(await commands(), before);
  await Promise.all(nodes.map((node) => node.kill()));
  t.equal((await store.claim(asking(leaseOn(key)))).kind, "done", "and needs none of them");
});

for (const fault of ["killed", "frozen"] as const) {
  t.test(`with one of three nodes ${fault}, everything goes on`, async (t) => {
    const { nodes, store, another } = await scene(t);
    if (fault === "killed") await nodes[2]!.kill();
    else nodes[2]!.freeze();
    for (let turn = 0; turn < 6; turn++) {
      const lease = leaseOn(newKey());
      t.equal((await store.claim(asking(lease))).kind, "won");
      t.equal(await store.extend(lease, leaseMs, retentionMs), "kept");
      t.equal(await store.complete(lease, answer("done"), origin), "stored");
    }
    t.equal(
      (await (await another(2)).claim(asking(leaseOn(newKey())))).kind,
      "won",
      "also for a process that starts now",
    );
    nodes[2]!.thaw();
  });
}

t.test("without a majority claims are refused and nothing is left claimed, until a node returns", async (t) => {
  const { nodes, store, troubles, recoveries } = await scene(t);
  const replayed = await states.completed!(store, newKey());
  await nodes[0]!.kill();
  nodes[1]!.freeze();
  const key = newKey();
  for (let turn = 0; turn < 5; turn++) {
    const error = await t.rejects(store.claim(asking(leaseOn(key))), new StoreUnavailableError("claim", false));
    t.match((error as unknown as Error).cause, /lock nodes/);
    t.equal(await store.peek(key, false), undefined);
  }
  t.equal((await store.claim(asking(leaseOn(replayed.key)))).kind, "done");
  t.equal(troubles.filter((text) => text.startsWith("no majority of the lock nodes")).length, 1, "told once");
  await nodes[1]!.kill();
  t.equal((await store.claim(asking(leaseOn(key))).catch((error) => error.name)) as unknown, "StoreUnavailableError");
  await nodes[0]!.start();
  const claim = () => store.claim(asking(leaseOn(key))).catch((error: Error) => ({ kind: error.name }));
  await until("a claim after the node's return", async () => (await claim()).kind === "won");
  t.ok(recoveries.includes("a majority of the lock nodes answers again"));
});

t.test("a store that starts without a majority says so in one sentence, and closes what it was given", async (t) => {
  const { nodes } = await scene(t);
  await Promise.all(nodes.slice(1).map((node) => node.kill()));
  const memory = new MemoryStore();
  let closed = 0;
  memory.close = async () => {
    closed += 1;
  };
  const options = {
    keyPrefix: "ig:",
    commandTimeoutMs: 400,
    hooks: { onTrouble: (text: string) => t.fail(text), onDoubt: () => {} },
    startTimeoutMs: 300,
  };
  const urls = nodes.map(({ url }) => url.replace("//", "//user:secret@"));
  const error = (await openQuorumStore(memory, { ...options, nodes: urls }).catch((error) => error)) as Error;
  t.match(error.message, /^too few of store\.locks\.nodes can be reached\. Redis at 127\.0\.0\.1:\d+/);
  t.notMatch(error.message, /secret/);
  t.equal(closed, 1);
  const twice = [nodes[0]!.url, nodes[1]!.url, `${nodes[0]!.url}/3`];
  await t.rejects(openQuorumStore(memory, { ...options, nodes: twice }), /named twice/);
  await t.rejects(openQuorumStore(memory, { ...options, nodes: twice.slice(0, 2) }), /odd number/);
  t.equal(closed, 3);
});

t.test(
  "a record that the store forgot is held by its lock, and what its owner did is what everybody gets",
  async (t) => {
    const { records, store, another } = await scene(t);
    const other = await another();
    const owner = leaseOn(newKey());
    await store.claim(asking(owner));
    await records.admin.flushall();
    for (let turn = 0; turn < 3; turn++) {
      const claim = await other.claim(asking(leaseOn(owner.key)));
      t.match(claim, { kind: "held", fingerprint: mine });
      t.ok(claim.kind === "held" && claim.remainingMs > 0 && claim.remainingMs <= leaseMs * 1.05);
      t.equal(await other.peek(owner.key, false), undefined, "the claim was taken back");
    }
    t.equal(await store.extend(owner, leaseMs, retentionMs), "lost", "as the store sees it");
    t.match(await other.claim(asking(leaseOn(owner.key))), { kind: "held" });
    t.equal(await store.complete(owner, answer("once"), origin), "stored");
    const claim = await other.claim(asking(leaseOn(owner.key)));
    t.equal(claim.kind === "done" && claim.response.body.toString(), "once");
  },
);

t.test("the lock of a flight whose record is lost is renewed until the flight ends", async (t) => {
  const { records, nodes, store, another } = await scene(t);
  const [other, owner] = [await another(), leaseOn(newKey())];
  await store.claim(asking(owner, { leaseMs: 2_000 }));
  await records.admin.flushall();
  t.equal(await store.extend(owner, 2_000, retentionMs), "lost");
  const begun = performance.now();
  await until("more than a lease", () => performance.now() - begun > 3_000);
  t.match(await other.claim(asking(leaseOn(owner.key))), { kind: "held" });
  t.equal(await store.release(owner), "released");
  await until("the release", async () => (await nodes[0]!.admin.exists(lockOf(owner.key))) === 0);
  const next = await other.claim(asking(leaseOn(owner.key)));
  t.equal(next.kind, "won");
});

t.test("a lock lost in flight leaves a doubt at once, which its owner may still end", async (t) => {
  const { nodes, store, another, doubts } = await scene(t);
  const [asked, unasked]: Lease[] = [leaseOn(newKey()), leaseOn(newKey())];
  await store.claim(asking(asked!));
  await store.claim(asking(unasked!, { leaseMs: 3_000 }));
  await Promise.all(nodes.slice(1).map(({ admin }) => admin.flushall()));
  t.equal(await store.extend(asked!, leaseMs, retentionMs), "lost");
  await until("the doubt nobody asked for", () => doubts.length === 2);
  t.same(doubts[0], { route: "pay", cause: "lock_lost", key: asked!.key.slice(0, 8) });
  const other = await another();
  for (const { key } of [asked!, unasked!]) {
    t.match(await other.peek(key, false), { state: "in_doubt", cause: "lock_lost" });
    t.match(await other.claim(asking(leaseOn(key))), { kind: "inDoubt", cause: "lock_lost", expired: false });
  }
  t.equal(await store.extend(unasked!, leaseMs, retentionMs), "lost");
  t.equal(await store.complete(asked!, answer("late but true"), origin), "stored");
  t.equal((await other.claim(asking(leaseOn(asked!.key)))).kind, "done");
  t.equal((await other.claim(asking(leaseOn(unasked!.key), { mayTake: true }))).kind, "won", "no lock is left behind");
  t.equal(await store.complete(unasked!, answer("too late"), origin), "lost");
  t.equal(doubts.length, 2);
});

t.test("lock nodes away for less than a lease cost a running flight nothing", async (t) => {
  const { nodes, store, doubts } = await scene(t);
  const lease = leaseOn(newKey());
  await store.claim(asking(lease));
  for (const node of nodes.slice(1)) node.freeze();
  t.equal(await store.extend(lease, leaseMs, retentionMs), "kept");
  for (const node of nodes.slice(1)) node.thaw();
  t.equal(await store.extend(lease, leaseMs, retentionMs), "kept");
  t.equal(await store.complete(lease, answer("done"), origin), "stored");
  t.same(doubts, []);
});

t.test("lock nodes away for longer than that leave a doubt", async (t) => {
  const { nodes, store, doubts } = await scene(t, 100);
  const lease = leaseOn(newKey());
  await store.claim(asking(lease, { leaseMs: 2_000 }));
  await Promise.all(nodes.slice(1).map((node) => node.kill()));
  const extending = setInterval(() => store.extend(lease, 2_000, retentionMs).catch(() => {}), 500);
  await until("the doubt", () => doubts.length > 0);
  clearInterval(extending);
  t.match(await store.peek(lease.key, false), { state: "in_doubt", cause: "lock_lost" });
  t.equal(doubts.length, 1);
});

t.test("the record store away as well: the lost lock is written down as soon as it can be", async (t) => {
  const { records, nodes, store, doubts } = await scene(t);
  const lease = leaseOn(newKey());
  await store.claim(asking(lease));
  await Promise.all(nodes.slice(1).map(({ admin }) => admin.flushall()));
  records.freeze();
  await t.rejects(store.extend(lease, leaseMs, retentionMs), StoreUnavailableError);
  await t.rejects(store.extend(lease, leaseMs, retentionMs), StoreUnavailableError);
  records.thaw();
  const extend = () => store.extend(lease, leaseMs, retentionMs).catch((error: Error) => error.name);
  await until("the store's return", async () => (await extend()) === "lost");
  t.match(await store.peek(lease.key, false), { state: "in_doubt", cause: "lock_lost" });
  t.equal(doubts.length, 1);
});
