import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import type { Answer } from "../../src/engine/answer.js";
import { Sweep } from "../../src/engine/sweep.js";
import { EventHub } from "../../src/events.js";
import type { DoubtCause, Lease, Outcome, RecordKey } from "../../src/model.js";
import { StoreUnavailableError } from "../../src/store/record-store.js";
import { MemoryStore } from "../store/memory-store.js";
import { answered, attemptFor, client, engineOn, Upstream } from "./fixture.js";

const statusOf = (answer: Answer) =>
  answer.kind === "problem" ? answer.problem.code : `${answer.response.status} ${answer.result}`;
const silent: Outcome = { kind: "unanswered", error: new Error("silent"), cause: "timeout" };

function doubtsOf(hub: EventHub): DoubtCause[] {
  const doubts: DoubtCause[] = [];
  hub.on("inDoubt", ({ cause }) => doubts.push(cause));
  return doubts;
}

t.test("an unknown outcome whose record is gone is written again, and counted once the store has it", async (t) => {
  const store = new MemoryStore();
  const { engine, hub } = engineOn(store);
  const doubts = doubtsOf(hub);
  const upstream = new Upstream();
  const attempt = attemptFor("1");
  const one = client(attempt, upstream.work);
  engine.begin(one);
  await upstream.called(1);
  store.become(attempt.key, undefined, 1_700_000_000_000);
  upstream.calls[0]?.end(silent);
  t.equal(statusOf(await one.answer), "upstream-timeout");
  t.match(await store.peek(attempt.key, false), { state: "in_doubt", cause: "timeout" });
  t.same(doubts, ["timeout"]);
  const retry = client(attempt, upstream.work);
  engine.begin(retry);
  t.equal(statusOf(await retry.answer), "outcome-unknown");
  t.equal(upstream.calls.length, 1);
});

t.test("a doubt that the store does not take is not counted as one", async (t) => {
  const store = new MemoryStore();
  const { engine, hub } = engineOn(store);
  const doubts = doubtsOf(hub);
  const upstream = new Upstream();
  const attempt = attemptFor("1", "f", { leaseMs: 600 });
  const one = client(attempt, upstream.work);
  engine.begin(one);
  await upstream.called(1);
  const strand = store.strand.bind(store);
  store.strand = () => Promise.reject(new StoreUnavailableError("strand", true));
  upstream.calls[0]?.end(silent);
  await one.answer;
  t.same(doubts, []);
  store.strand = strand;
  await engine.idle();
  t.same(doubts, ["timeout"], "when it is written");
});

t.test("a completion whose answer was lost is asked about, not sent again, and no doubt is told", async (t) => {
  for (const isHeardAgain of [true, false]) {
    const store = new MemoryStore();
    const complete = store.complete.bind(store);
    let sent = 0;
    store.complete = async (...args) => {
      sent += 1;
      await complete(...args);
      throw new StoreUnavailableError("complete", true);
    };
    const peek = store.peek.bind(store);
    // A line so slow that nothing is heard on it before the lease is over.
    const deafUntilMs = performance.now() + (isHeardAgain ? 0 : 700);
    store.peek = async (...args) => {
      if (performance.now() < deafUntilMs) throw new StoreUnavailableError("peek", true);
      return peek(...args);
    };
    const { engine, hub } = engineOn(store);
    const doubts = doubtsOf(hub);
    const upstream = new Upstream();
    const attempt = attemptFor("1", "f", { leaseMs: 600 });
    const one = client(attempt, upstream.work);
    engine.begin(one);
    await upstream.called(1);
    upstream.calls[0]?.end(answered(201));
    t.match(await one.answer, { kind: "response", remainingMs: null }, "nobody knows whether it is stored");
    await engine.idle();
    t.equal(sent, 1);
    t.same(doubts, []);
  }
});

t.test("a stored answer says how long it is kept, the first time, to those who waited and later", async (t) => {
  const store = new MemoryStore();
  const { engine } = engineOn(store);
  const upstream = new Upstream();
  const attempt = attemptFor("1");
  const { retentionMs } = attempt.policy;
  const both = [0, 1].map(() => client(attempt, upstream.work));
  for (const one of both) engine.begin(one);
  await upstream.called(1);
  upstream.calls[0]?.end(answered(201));
  for (const one of both) t.match(await one.answer, { kind: "response", remainingMs: retentionMs });
  store.passTime(60_000);
  const later = client(attempt, upstream.work);
  engine.begin(later);
  t.match(await later.answer, { kind: "response", ageMs: 60_000, remainingMs: retentionMs - 60_000 });
  const released = client(attemptFor("2"), upstream.work);
  engine.begin(released);
  await upstream.called(2);
  upstream.calls[1]?.end(answered(429));
  t.match(await released.answer, { kind: "response", remainingMs: null });
});

t.test("where another process runs the request, its first waiter here counts like any other", async (t) => {
  const store = new MemoryStore();
  const attempt = attemptFor("1", "f", { maxWaiters: 3 });
  const [here, there] = [engineOn(store), engineOn(store)];
  const upstream = new Upstream();
  const owner = client(attempt, upstream.work);
  there.engine.begin(owner);
  await upstream.called(1);
  let waiting = 0;
  here.hub.on("waiting", () => waiting++);
  here.hub.on("waited", () => waiting--);
  const ten = Array.from({ length: 10 }, () => client(attempt, upstream.work));
  const first = ten.slice(0, 5);
  for (const one of first) here.engine.begin(one);
  await pause(50);
  for (const one of ten.slice(5)) here.engine.begin(one);
  await pause(50);
  t.equal(waiting, 3);
  upstream.calls[0]?.end(answered(201));
  const ends = (await Promise.all(ten.map((one) => one.answer))).map(statusOf);
  t.equal(ends.filter((end) => end === "201 shared").length, 3);
  t.equal(ends.filter((end) => end === "in-progress").length, 7);
  t.equal(waiting, 0);
});

t.test("a claim that was too long under way is taken back before the record is claimed again", async (t) => {
  const store = new MemoryStore();
  const claim = store.claim.bind(store);
  let claims = 0;
  store.claim = async (request) => {
    const claimed = await claim(request);
    claims += 1;
    // The first one is heard of so late that its lease is over by the store's clock.
    if (claims === 1) {
      await pause(400);
      store.passTime(700);
    }
    return claimed;
  };
  const { engine } = engineOn(store);
  const upstream = new Upstream();
  const attempt = attemptFor("1", "f", { leaseMs: 600 });
  const one = client(attempt, upstream.work);
  engine.begin(one);
  await upstream.called(1);
  upstream.calls[0]?.end(answered(201));
  t.equal(statusOf(await one.answer), "201 executed", "and not told of a doubt about what was never sent");
  t.equal(claims, 2);
});

t.test(
  "where doubts may be taken over, what waited for a connection asks the store again before it is sent",
  async (t) => {
    for (const hasStepped of [false, true]) {
      const store = new MemoryStore();
      const attempt = attemptFor("1", "f", { inDoubt: "retry", leaseMs: 5000 });
      let sent = 0;
      const work = {
        run: async (isOurs: () => boolean): Promise<Outcome> => {
          await pause(400);
          if (!isOurs()) return { kind: "unsent", error: new Error("late"), isLate: true };
          sent += 1;
          return answered(201);
        },
        probe: () => Promise.reject(new Error("nobody asks")),
      };
      const { engine } = engineOn(store);
      const one = client(attempt, work);
      engine.begin(one);
      await pause(20);
      if (hasStepped) {
        // The store's clock steps: the lease is over, and another gateway takes the doubt over.
        store.passTime(6000);
        const taker: Lease = { key: attempt.key, token: "b".repeat(32) };
        const { route, policy, fingerprint, keyHash } = attempt;
        const origin = { route: route.name, namespace: policy.namespace, fingerprint, keyHash };
        await store.claim({ ...origin, lease: taker, leaseMs: 5000, openRetentionMs: 1e6, mayTake: true });
      }
      t.equal(statusOf(await one.answer), hasStepped ? "in-progress" : "201 executed");
      t.equal(sent, hasStepped ? 0 : 1);
    }
  },
);

t.test("the gateway itself finds leases that ran out, and tells of each once", async (t) => {
  const store = new MemoryStore();
  const hubs = [new EventHub(), new EventHub()];
  const found: string[] = [];
  for (const hub of hubs) hub.on("inDoubt", ({ key, cause }) => found.push(`${key} ${cause}`));
  for (let index = 0; index < 5; index++) {
    const attempt = attemptFor("1");
    const key = String(index).repeat(64) as RecordKey;
    const origin = { route: "pay", namespace: "pay", fingerprint: attempt.fingerprint, keyHash: attempt.keyHash };
    const lease = { key, token: "a".repeat(32) };
    await store.claim({ ...origin, lease, leaseMs: 1000, openRetentionMs: 1e6, mayTake: false });
  }
  store.passTime(2000);
  const sweeps = hubs.map((hub) => new Sweep(store, hub, 20));
  for (let turn = 0; turn < 100 && found.length < 5; turn++) await pause(20);
  await pause(60);
  for (const sweep of sweeps) await sweep.stop();
  t.same(
    found.sort(),
    [0, 1, 2, 3, 4].map((index) => `${String(index).repeat(8)} lease_expired`),
  );
});
