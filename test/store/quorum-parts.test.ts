import type { Client } from "redlock";
import t from "tap";
import type { Claim, RecordKey } from "../../src/model.js";
import type { GrantedLock, Locks, Taken } from "../../src/store/quorum/locks.js";
import { QuorumLocks, type VotingNode } from "../../src/store/quorum/quorum-locks.js";
import { type Doubt, QuorumStore } from "../../src/store/quorum/quorum-store.js";
import { type RecordStore, StoreUnavailableError } from "../../src/store/record-store.js";
import { answer, asking, leaseMs, leaseOn, minute, newKey, origin, retentionMs, states } from "./contract-material.js";
import { MemoryStore } from "./memory-store.js";

process.on("unhandledRejection", (error) => t.fail(`nobody handled ${error}`));

const commandTimeoutMs = 40;
const ttl = 10_000;

/** A lock node in this process: it keeps what it is told to, and answers as it is told to. */
class FakeNode implements VotingNode {
  readonly values = new Map<string, string>();
  mode: "answers" | "fails" | "hangs" = "answers";
  /** Run before a command is carried out. */
  before: () => void = () => {};
  #hanging: (() => void)[] = [];

  evalsha: Client["evalsha"] = async () => {
    throw new Error("NOSCRIPT");
  };

  async eval(script: string, _: number, [name, value]: readonly (string | number)[]): Promise<number> {
    if (this.mode === "fails") throw new Error("not connected");
    if (this.mode === "hangs") await new Promise<void>((resolve) => this.#hanging.push(resolve));
    this.before();
    const held = this.values.get(String(name));
    if (script.includes('"del"')) return held === value && this.values.delete(String(name)) ? 1 : 0;
    const mayWrite = script.includes('"exists"') ? held === undefined : held === value;
    if (mayWrite) this.values.set(String(name), String(value));
    return mayWrite ? 1 : 0;
  }

  /** What it was asked meanwhile it does now. */
  resume(): void {
    this.mode = "answers";
    for (const go of this.#hanging.splice(0)) go();
  }

  async remainingMs(name: string): Promise<number> {
    if (this.mode === "fails") throw new Error("not connected");
    return this.values.has(name) ? 7_000 : 0;
  }

  async close(): Promise<void> {}
}

function nodesAndLocks(count = 3) {
  const nodes = Array.from({ length: count }, () => new FakeNode());
  const told: string[] = [];
  const clock = { nowMs: 1_000 };
  const locks = new QuorumLocks(nodes, {
    keyPrefix: "p:",
    commandTimeoutMs,
    now: () => clock.nowMs,
    onTrouble: (text) => told.push(text),
    onRecovery: (text) => told.push(text),
  });
  const held = () => nodes.map((node) => node.values.size);
  return { nodes, locks, told, clock, held };
}

async function granted(taken: Promise<Taken>): Promise<GrantedLock> {
  const answer = await taken;
  if (answer.kind !== "granted") throw new Error(`the lock was ${answer.kind}`);
  return answer.lock;
}

/** Everything that hangs on promises alone has happened when this resolves. */
const settled = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));

t.test("a majority grants a lock that is good for its whole lease", async (t) => {
  for (const third of ["answers", "fails", "hangs"] as const) {
    const { nodes, locks, clock } = nodesAndLocks();
    nodes[2]!.mode = third;
    const key = newKey();
    const lock = await granted(locks.take(key, ttl));
    t.ok(lock.validUntilMs - clock.nowMs >= ttl, third);
    t.same([...nodes[0]!.values.keys()], [`p:lock:${key}`]);
  }
});

t.test("an even number of nodes, which redlock may wait for without end, is refused", async (t) => {
  t.throws(() => nodesAndLocks(2), /odd number/);
});

t.test("nodes that never answer are given up, and what they grant later is given back", async (t) => {
  const { nodes, locks, held } = nodesAndLocks();
  for (const node of nodes) node.mode = "hangs";
  const key = newKey();
  t.equal((await locks.take(key, ttl)).kind, "unavailable");
  for (const node of nodes) node.resume();
  await settled();
  t.same(held(), [0, 0, 0]);
  await granted(locks.take(key, ttl));
});

t.test("a lock whose time is over when it is granted is none", async (t) => {
  const { nodes, locks, clock, held } = nodesAndLocks();
  nodes[1]!.before = () => {
    clock.nowMs += ttl;
    nodes[1]!.before = () => {};
  };
  t.same(await locks.take(newKey(), ttl), { kind: "unavailable", reason: "the lock was granted too late" });
  await settled();
  t.same(held(), [0, 0, 0]);
});

t.test("the votes tell a held lock from absent nodes", async (t) => {
  const cases: [string, (nodes: FakeNode[], name: string) => void, unknown][] = [
    ["all hold it", (nodes, name) => nodes.forEach((node) => void node.values.set(name, "x")), 7_000],
    ["two hold it", (nodes, name) => nodes.slice(1).forEach((node) => void node.values.set(name, "x")), 7_000],
    [
      "one holds it, one is away",
      (nodes, name) => {
        nodes[0]!.values.set(name, "x");
        nodes[1]!.mode = "fails";
      },
      7_000,
    ],
    [
      "one holds it, two are away",
      (nodes, name) => {
        nodes[0]!.values.set(name, "x");
        nodes[1]!.mode = nodes[2]!.mode = "fails";
      },
      null,
    ],
    [
      "two are away",
      (nodes) => {
        nodes[1]!.mode = nodes[2]!.mode = "fails";
      },
      null,
    ],
  ];
  for (const [what, arrange, remainingMs] of cases) {
    const { nodes, locks } = nodesAndLocks();
    const key = newKey();
    const name = `p:lock:${key}`;
    arrange(nodes, name);
    const taken = await locks.take(key, ttl);
    t.match(taken, remainingMs === null ? { kind: "unavailable" } : { kind: "held", remainingMs }, what);
    await settled();
    for (const node of nodes)
      t.ok([undefined, "x"].includes(node.values.get(name)), `${what}: nothing of ours is left`);
  }
});

t.test("a lock is renewed by a majority, and lost as soon as a majority has lost it", async (t) => {
  const { nodes, locks, clock } = nodesAndLocks();
  const lock = await granted(locks.take(newKey(), ttl));
  clock.nowMs += ttl / 2;
  nodes[0]!.values.clear();
  t.equal(await lock.renew(ttl), "renewed");
  t.ok(lock.validUntilMs - clock.nowMs >= ttl);
  nodes[1]!.values.clear();
  t.equal(await lock.renew(ttl), "lost");
});

t.test("a lock that cannot be renewed now is good until its time is over", async (t) => {
  const { nodes, locks, clock } = nodesAndLocks();
  const lock = await granted(locks.take(newKey(), ttl));
  const until = lock.validUntilMs;
  nodes[0]!.mode = "fails";
  nodes[1]!.mode = "hangs";
  t.equal(await lock.renew(ttl), "unavailable");
  nodes[1]!.mode = "fails";
  nodes[2]!.values.clear();
  t.equal(await lock.renew(ttl), "unavailable", "two who are away may still have it");
  t.equal(lock.validUntilMs, until);
  nodes[0]!.resume();
  nodes[1]!.resume();
  t.equal(await lock.renew(ttl), "renewed");
  clock.nowMs = lock.validUntilMs;
  t.equal(await lock.renew(ttl), "lost");
});

t.test("a wall clock that is set has no say", async (t) => {
  const { locks } = nodesAndLocks();
  const lock = await granted(locks.take(newKey(), ttl));
  const { now } = Date;
  t.teardown(() => {
    Date.now = now;
  });
  Date.now = () => now() + 3_600_000;
  t.equal(await lock.renew(ttl), "renewed");
});

t.test("giving back is nobody's wait: not of a lock that is over, nor to nodes that hang", async (t) => {
  const { nodes, locks, held } = nodesAndLocks();
  const [gone, lock] = [await granted(locks.take(newKey(), ttl)), await granted(locks.take(newKey(), ttl))];
  await settled();
  nodes[2]!.mode = "hangs";
  for (const node of nodes) node.values.delete([...node.values.keys()][0]!);
  gone.release();
  lock.release();
  await locks.close();
  t.same(held(), [0, 0, 1]);
});

t.test("a missing majority is told once, and so is its return", async (t) => {
  const { nodes, locks, told } = nodesAndLocks();
  for (const node of nodes) node.mode = "fails";
  for (let turn = 0; turn < 3; turn++) await locks.take(newKey(), ttl);
  for (const node of nodes) node.mode = "answers";
  for (let turn = 0; turn < 3; turn++) await locks.take(newKey(), ttl);
  t.equal(told.length, 2);
  t.match(told, [/^no majority of the lock nodes can be asked: not connected/, /answers again/]);
});

/** Locks by hand, and a record store that can be flushed and watched. */
function wrapped() {
  let memory = new MemoryStore();
  const calls: string[] = [];
  const failing = new Set<string>();
  const hooks: { afterPeek: () => unknown; beforeTake: () => unknown } = { afterPeek: () => {}, beforeTake: () => {} };
  const inner = new Proxy({} as RecordStore, {
    get: (_, verb: Exclude<keyof RecordStore, "recall">) =>
      verb === "withdrawAfterMs"
        ? 0
        : async (...args: unknown[]) => {
            calls.push(verb);
            if (failing.has(verb)) throw new StoreUnavailableError(verb, true);
            const answer = await (memory[verb] as (...args: unknown[]) => Promise<unknown>)(...args);
            if (verb === "peek") await hooks.afterPeek();
            return answer;
          },
  });
  const clock = { nowMs: 0 };
  let taken: Taken | undefined;
  let renewal: Awaited<ReturnType<GrantedLock["renew"]>> = "renewed";
  const locks: Locks = {
    now: () => clock.nowMs,
    async take() {
      calls.push("take");
      await hooks.beforeTake();
      if (taken !== undefined) return taken;
      const lock = {
        validUntilMs: clock.nowMs + leaseMs,
        async renew(ms: number) {
          calls.push("renew");
          if (renewal === "renewed") lock.validUntilMs = clock.nowMs + ms;
          return renewal;
        },
        release: () => void calls.push("give back"),
      };
      return { kind: "granted", lock };
    },
    async remainingMs() {
      calls.push("remaining");
      return taken?.kind === "held" ? taken.remainingMs : 0;
    },
    close: async () => void calls.push("close locks"),
  };
  const doubts: Doubt[] = [];
  const store = new QuorumStore(inner, locks, { onDoubt: (doubt) => doubts.push(doubt) });
  t.teardown(() => store.close());
  return {
    store,
    calls,
    failing,
    doubts,
    clock,
    hooks,
    memory: () => memory,
    flush: () => {
      memory = new MemoryStore();
    },
    locksAnswer: (next: Taken | undefined) => {
      taken = next;
    },
    renewalsAnswer: (next: typeof renewal) => {
      renewal = next;
    },
    /** What was done since it was last asked. */
    did: () => calls.splice(0),
  };
}

const elsewhere: Taken = { kind: "held", remainingMs: 4_000 };
const away: Taken = { kind: "unavailable", reason: "a: not connected" };

t.test("the lock is asked for after the claim is won, and only then", async (t) => {
  const { store, did, memory } = wrapped();
  for (const state of Object.values(states)) {
    const key = newKey();
    await state(memory(), key);
    await store.claim(asking(leaseOn(key)));
    t.same(did(), ["claim"]);
  }
  const lease = leaseOn(newKey());
  t.same(await store.claim(asking(lease)), { kind: "won", attempts: 1, taken: null });
  t.same(did(), ["claim", "take", "extend"], "and the claim is looked at once more under the lock");
  t.equal((await store.claim(asking(lease))).kind, "won");
  t.same(did(), ["claim", "renew"], "a claim sent again meets its own lock");
});

t.test("the lock goes when the record says how the flight ended, or before, where nothing happened", async (t) => {
  const { store, did } = wrapped();
  const ends: [(lease: ReturnType<typeof leaseOn>) => Promise<string>, string[]][] = [
    [(lease) => store.complete(lease, answer("x"), origin), ["complete", "give back"]],
    [(lease) => store.strand(lease, "reset", undefined, origin), ["strand", "give back"]],
    [(lease) => store.release(lease), ["give back", "release"]],
    [(lease) => store.withdraw(lease), ["give back", "withdraw"]],
  ];
  for (const [end, order] of ends) {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    did();
    await end(lease);
    t.same(did(), order);
  }
});

t.test("an end that the store does not take keeps the lock until it does", async (t) => {
  const { store, did, failing } = wrapped();
  const lease = leaseOn(newKey());
  await store.claim(asking(lease));
  did();
  failing.add("complete");
  await t.rejects(store.complete(lease, answer("x"), origin), StoreUnavailableError);
  t.same(did(), ["complete"]);
  failing.clear();
  t.equal(await store.complete(lease, answer("x"), origin), "stored");
  t.same(did(), ["complete", "give back"]);
});

t.test("a claim without its lock is taken back, and whether it could be is told", async (t) => {
  const { store, failing, locksAnswer, memory } = wrapped();
  locksAnswer(away);
  const key = newKey();
  await t.rejects(store.claim(asking(leaseOn(key))), new StoreUnavailableError("claim", false));
  t.equal(await memory().peek(key, false), undefined);
  for (const taken of [away, elsewhere]) {
    locksAnswer(taken);
    failing.add("withdraw");
    const lease = leaseOn(newKey());
    await t.rejects(store.claim(asking(lease)), new StoreUnavailableError("claim", true));
    t.equal((await memory().peek(lease.key, false))?.state, "in_flight");
    failing.clear();
    t.equal(await store.withdraw(lease), "withdrawn");
  }
});

t.test("a takeover that the lock stops leaves the doubt as it was, counted once", async (t) => {
  const { store, locksAnswer, memory, doubts } = wrapped();
  const lease = leaseOn(newKey());
  await memory().claim(asking(lease));
  memory().passTime(leaseMs + minute);
  locksAnswer(elsewhere);
  for (let turn = 0; turn < 3; turn++) {
    const claim = await store.claim(asking(leaseOn(lease.key), { mayTake: true }));
    t.match(claim, { kind: "held", remainingMs: 4_000 });
  }
  t.match(await memory().peek(lease.key, false), { state: "in_doubt", cause: "lease_expired" });
  t.same(doubts, [{ route: "pay", cause: "lease_expired", key: lease.key.slice(0, 8) }]);
});

t.test("who was refused by a lock looks before it claims again", async (t) => {
  const { store, did, locksAnswer, clock, memory } = wrapped();
  const key: RecordKey = newKey();
  const claim = (): Promise<Claim> => store.claim(asking(leaseOn(key)));
  locksAnswer(elsewhere);
  await claim();
  t.same(did(), ["claim", "take", "withdraw"]);
  t.match(await claim(), { kind: "held", remainingMs: 4_000 });
  t.same(did(), ["peek", "remaining"], "nothing is written, and nobody woken");
  const owner = await states.completed!(memory(), key);
  t.equal((await claim()).kind, "done");
  t.same(did(), ["peek", "claim"]);
  await memory().forget(owner.key);
  locksAnswer(undefined);
  t.equal((await claim()).kind, "won");
  t.same(did(), ["peek", "remaining", "claim", "take", "extend"]);

  const forgotten = newKey();
  locksAnswer(elsewhere);
  await store.claim(asking(leaseOn(forgotten)));
  clock.nowMs += 5_000;
  did();
  await store.claim(asking(leaseOn(forgotten)));
  t.same(did(), ["claim", "take", "withdraw"], "after some seconds it is asked afresh");
});

t.test("a claim that is about to be withdrawn does not cost the owner its answer", async (t) => {
  const { store, flush, memory, hooks, did } = wrapped();
  const [owner, passing] = [leaseOn(newKey()), leaseOn(newKey())];
  const stranger = { key: owner.key, token: passing.token };
  await store.claim(asking(owner));
  flush();
  await memory().claim(asking(stranger));
  let looks = 0;
  hooks.afterPeek = () => ++looks === 3 && memory().withdraw(stranger);
  did();
  t.equal(await store.complete(owner, answer("once"), origin), "stored");
  t.same(did().slice(-3), ["peek", "complete", "give back"]);
  const claim = await memory().claim(asking(leaseOn(owner.key)));
  t.equal(claim.kind === "done" && claim.response.body.toString(), "once");
});

t.test("but whoever has really taken over keeps the record", async (t) => {
  for (const isLost of [true, false]) {
    const { store, flush, memory, clock, did } = wrapped();
    const owner = leaseOn(newKey());
    await store.claim(asking(owner));
    flush();
    await memory().claim(asking(leaseOn(owner.key)));
    if (isLost) clock.nowMs += leaseMs;
    did();
    t.equal(await store.complete(owner, answer("late"), origin), "lost");
    const calls = did();
    t.equal(
      calls.filter((verb) => verb === "complete").length,
      isLost ? 1 : 61,
      "tried as long as the lock tells otherwise",
    );
    t.equal(calls.at(-1), isLost ? "give back" : "renew", "and a lock that is held outlasts the claim in its way");
    t.equal((await memory().peek(owner.key, false))?.state, "in_flight");
  }
});

t.test("what the owner wrote between a claim and its lock is seen", async (t) => {
  const { store, memory, hooks, did } = wrapped();
  const lease = leaseOn(newKey());
  hooks.beforeTake = async () => {
    await memory().withdraw(lease);
    await states.completed!(memory(), lease.key);
  };
  t.equal((await store.claim(asking(lease))).kind, "done");
  t.same(did(), ["claim", "take", "extend", "give back", "claim"]);
});

t.test("a store that forgets each claim it grants is no store", async (t) => {
  const { store, flush, hooks } = wrapped();
  hooks.beforeTake = flush;
  await t.rejects(store.claim(asking(leaseOn(newKey()))), StoreUnavailableError);
});

t.test("an extension answers lost once the lock is, and the record is in doubt by then", async (t) => {
  const { store, memory, renewalsAnswer, doubts, failing, did } = wrapped();
  const lease = leaseOn(newKey());
  await store.claim(asking(lease));
  renewalsAnswer("unavailable");
  t.equal(await store.extend(lease, leaseMs, retentionMs), "kept", "it is still good");
  renewalsAnswer("lost");
  failing.add("strand");
  await t.rejects(store.extend(lease, leaseMs, retentionMs), StoreUnavailableError);
  failing.clear();
  did();
  t.equal(await store.extend(lease, leaseMs, retentionMs), "lost");
  t.same(did(), ["peek", "strand", "give back"], "a record without its lock is not extended");
  t.match(await memory().peek(lease.key, false), { state: "in_doubt", cause: "lock_lost" });
  t.equal(doubts.length, 1);
  t.equal(await store.complete(lease, answer("late but true"), origin), "stored");
});

t.test("a lease that is over is in doubt for that, not for its lock", async (t) => {
  const { store, memory, clock, doubts } = wrapped();
  const lease = leaseOn(newKey());
  await store.claim(asking(lease));
  clock.nowMs += leaseMs + minute;
  memory().passTime(leaseMs + minute);
  t.equal(await store.extend(lease, leaseMs, retentionMs), "lost");
  t.match(await memory().claim(asking(leaseOn(lease.key))), { kind: "inDoubt", cause: "lease_expired", expired: true });
  t.same(doubts, []);
});

t.test("what still runs when the store is closed keeps its lock", async (t) => {
  const { store, did } = wrapped();
  await store.claim(asking(leaseOn(newKey())));
  did();
  await store.close();
  t.same(did(), ["close locks", "close"]);
});
