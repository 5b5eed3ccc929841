import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import type { Answer } from "../../src/engine/answer.js";
import type { Engine } from "../../src/engine/engine.js";
import type { Attempt, Claim, Policy } from "../../src/model.js";
import { StoreUnavailableError } from "../../src/store/record-store.js";
import { MemoryStore } from "../store/memory-store.js";
import { answered, attemptFor, client, engineOn, response, Upstream } from "./fixture.js";

const statusOf = (answer: Answer) =>
  answer.kind === "problem" ? answer.problem.code : `${answer.response.status} ${answer.result}`;

t.test("fifty duplicates in one process make one call and share its answer", async (t) => {
  const { engine } = engineOn(new MemoryStore());
  const upstream = new Upstream();
  const clients = Array.from({ length: 50 }, () => client(attemptFor("1"), upstream.work));
  for (const one of clients) engine.begin(one);
  await upstream.called(1);
  upstream.calls[0]?.end(answered(201, "made"));
  const answers = await Promise.all(clients.map((one) => one.answer));
  t.equal(upstream.calls.length, 1);
  t.same(answers.map(statusOf), ["201 executed", ...Array(49).fill("201 shared")]);
  t.same(
    answers.map((answer) => answer.kind === "response" && answer.repeated),
    [false, ...Array(49).fill(true)],
  );
});

t.test("two processes on one store make one call; the other one's clients share it", async (t) => {
  const store = new MemoryStore();
  const [one, two] = [engineOn(store).engine, engineOn(store).engine];
  const upstream = new Upstream();
  const first = client(attemptFor("1"), upstream.work);
  one.begin(first);
  await upstream.called(1);
  const others = Array.from({ length: 5 }, () => client(attemptFor("1"), upstream.work));
  for (const other of others) two.begin(other);
  upstream.calls[0]?.end(answered(201, "made"));
  t.equal(statusOf(await first.answer), "201 executed");
  for (const other of others) t.equal(statusOf(await other.answer), "201 shared");
  t.equal(upstream.calls.length, 1);
  const later = client(attemptFor("1"), upstream.work);
  two.begin(later);
  t.equal(statusOf(await later.answer), "201 replayed");
});

t.test("who waits watches the record once, however often it looks, and not beyond its wait", async (t) => {
  let [watched, watching, claims] = [0, 0, 0];
  /** As over Redis: a subscription that is confirmed wakes. */
  class Confirming extends MemoryStore {
    override claim(...asked: Parameters<MemoryStore["claim"]>) {
      claims += 1;
      return super.claim(...asked);
    }
    override watch(...asked: Parameters<MemoryStore["watch"]>) {
      watched += 1;
      watching += 1;
      queueMicrotask(asked[1]);
      const stop = super.watch(...asked);
      return () => {
        watching -= 1;
        stop();
      };
    }
  }
  const store = new Confirming();
  const [one, two] = [engineOn(store).engine, engineOn(store).engine];
  const upstream = new Upstream();
  const [first, other] = [client(attemptFor("1"), upstream.work), client(attemptFor("1"), upstream.work)];
  one.begin(first);
  await upstream.called(1);
  two.begin(other);
  // Long enough for a second look by the clock; each look that makes another one would make thousands.
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.equal(watched, 1);
  t.ok(claims <= 6, `${claims} claims`);
  upstream.calls[0]?.end(answered(201, "made"));
  t.equal(statusOf(await other.answer), "201 shared");
  await first.answer;
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(watching, 0);
});

t.test("a released answer is shared by those that waited, here and elsewhere, and the next request runs", async (t) => {
  const store = new MemoryStore();
  const [one, two] = [engineOn(store).engine, engineOn(store).engine];
  const upstream = new Upstream();
  const clients = [0, 1, 2].map(() => client(attemptFor("1"), upstream.work));
  one.begin(clients[0]!);
  await upstream.called(1);
  one.begin(clients[1]!);
  two.begin(clients[2]!);
  // The other process has to have seen the record in flight, or it would be the next request.
  await new Promise((resolve) => setImmediate(resolve));
  upstream.calls[0]?.end(answered(503, "later"));
  t.same((await Promise.all(clients.map((c) => c.answer))).map(statusOf), ["503 executed", "503 shared", "503 shared"]);
  t.equal(upstream.calls.length, 1);
  const next = client(attemptFor("1"), upstream.work);
  two.begin(next);
  await upstream.called(2);
  upstream.calls[1]?.end(answered(201));
  t.equal(statusOf(await next.answer), "201 executed");
});

t.test("what was not answered is in doubt, for those who waited and for those who come later", async (t) => {
  const store = new MemoryStore();
  const { engine, hub } = engineOn(store);
  const doubts: string[] = [];
  hub.on("inDoubt", ({ cause }) => doubts.push(cause));
  const upstream = new Upstream();
  const [first, second] = [client(attemptFor("1"), upstream.work), client(attemptFor("1"), upstream.work)];
  engine.begin(first);
  engine.begin(second);
  await upstream.called(1);
  upstream.calls[0]?.end({ kind: "unanswered", error: new Error("x"), cause: "timeout" });
  t.same([statusOf(await first.answer), statusOf(await second.answer)], ["upstream-timeout", "upstream-timeout"]);
  const later = client(attemptFor("1"), upstream.work);
  engine.begin(later);
  t.equal(statusOf(await later.answer), "outcome-unknown");
  t.same(doubts, ["timeout"]);
  t.equal(upstream.calls.length, 1);
});

t.test("what was never sent is free again", async (t) => {
  const { engine } = engineOn(new MemoryStore());
  const upstream = new Upstream();
  const first = client(attemptFor("1"), upstream.work);
  engine.begin(first);
  await upstream.called(1);
  upstream.calls[0]?.end({ kind: "unsent", error: Object.assign(new Error("x"), { code: "ECONNREFUSED" }) });
  t.equal(statusOf(await first.answer), "upstream-unreachable");
  const next = client(attemptFor("1"), upstream.work);
  engine.begin(next);
  await upstream.called(2);
  upstream.calls[1]?.end(answered(200));
  t.equal(statusOf(await next.answer), "200 executed");
});

t.test("another fingerprint is refused in every state, in flight too, and changes nothing", async (t) => {
  const { engine } = engineOn(new MemoryStore());
  const upstream = new Upstream();
  const first = client(attemptFor("1", "a"), upstream.work);
  engine.begin(first);
  await upstream.called(1);
  const other = client(attemptFor("1", "b"), upstream.work);
  engine.begin(other);
  t.equal(statusOf(await other.answer), "key-reused");
  upstream.calls[0]?.end(answered(201));
  t.equal(statusOf(await first.answer), "201 executed");
  const again = client(attemptFor("1", "b"), upstream.work);
  engine.begin(again);
  t.equal(statusOf(await again.answer), "key-reused");
  const retry = client(attemptFor("1", "a"), upstream.work);
  engine.begin(retry);
  t.equal(statusOf(await retry.answer), "201 replayed");
});

t.test(
  "with concurrency reject a duplicate in flight is refused, but two retries of a finished one are both replayed",
  async (t) => {
    const store = new MemoryStore();
    const { engine } = engineOn(store);
    const upstream = new Upstream();
    const attempt = attemptFor("1", "f", { concurrency: "reject" });
    const clients = [0, 1].map(() => client(attempt, upstream.work));
    for (const one of clients) engine.begin(one);
    await upstream.called(1);
    t.equal(statusOf(await clients[1]!.answer), "in-progress");
    const late = client(attempt, upstream.work);
    engine.begin(late);
    t.equal(statusOf(await late.answer), "in-progress");
    const elsewhere = client(attempt, upstream.work);
    engineOn(store).engine.begin(elsewhere);
    t.equal(statusOf(await elsewhere.answer), "in-progress");
    upstream.calls[0]?.end(answered(201));
    await clients[0]!.answer;
    const retries = [0, 1].map(() => client(attempt, upstream.work));
    for (const one of retries) engine.begin(one);
    for (const one of retries) t.equal(statusOf(await one.answer), "201 replayed");
  },
);

t.test("a waiter over the limit is refused at once, one whose time is over later; the execution goes on", async (t) => {
  const { engine } = engineOn(new MemoryStore());
  const upstream = new Upstream();
  const attempt = attemptFor("1", "f", { maxWaiters: 1, waitTimeoutMs: 20 });
  const clients = [0, 1, 2].map(() => client(attempt, upstream.work));
  for (const one of clients) engine.begin(one);
  t.equal(statusOf(await clients[2]!.answer), "in-progress");
  t.equal(statusOf(await clients[1]!.answer), "in-progress");
  await upstream.called(1);
  upstream.calls[0]?.end(answered(201));
  t.equal(statusOf(await clients[0]!.answer), "201 executed");
});

t.test("everybody may hang up: the execution lands and is stored", async (t) => {
  const { engine } = engineOn(new MemoryStore());
  const upstream = new Upstream();
  const [first, second] = [client(attemptFor("1"), upstream.work), client(attemptFor("1"), upstream.work)];
  const leaveFirst = engine.begin(first);
  const leaveSecond = engine.begin(second);
  await upstream.called(1);
  t.equal(leaveFirst(), false);
  t.equal(leaveSecond(), true);
  upstream.calls[0]?.end(answered(201));
  await engine.idle();
  t.equal(second.answers, 0);
  const retry = client(attemptFor("1"), upstream.work);
  engine.begin(retry);
  t.equal(statusOf(await retry.answer), "201 replayed");
});

t.test("in doubt under retry: exactly one of many takes over, and the rest share its answer", async (t) => {
  const store = new MemoryStore();
  const upstream = new Upstream();
  const attempt = attemptFor("1", "f", { inDoubt: "retry" });
  await leaveInDoubt(engineOn(store).engine, upstream, attempt);
  const clients = Array.from({ length: 20 }, () => client(attempt, upstream.work));
  const engines = [0, 1, 2].map(() => engineOn(store).engine);
  for (const [i, one] of clients.entries()) engines[i % 3]?.begin(one);
  await upstream.called(2);
  await new Promise((resolve) => setImmediate(resolve));
  upstream.calls[1]?.end(answered(201));
  const answers = (await Promise.all(clients.map((one) => one.answer))).map(statusOf);
  t.equal(answers.filter((answer) => answer === "201 executed").length, 1);
  t.equal(answers.filter((answer) => answer === "201 shared").length, 19);
  t.equal(upstream.calls.length, 2);
});

const probing: Partial<Policy> = {
  inDoubt: "probe",
  probe: { method: "GET", url: "http://a/", done: new Set([200]), notDone: new Set([404]) },
};

/** Its first request was sent, and its answer broke off. */
async function leaveInDoubt(engine: Engine, upstream: Upstream, attempt: Attempt): Promise<void> {
  const first = client(attempt, upstream.work);
  engine.begin(first);
  await upstream.called(1);
  upstream.calls[0]?.end({ kind: "unanswered", error: new Error("x"), cause: "reset" });
  await first.answer;
}

t.test(
  "in doubt under probe: one asks, and done is replayed, not done runs, anything else stays in doubt",
  async (t) => {
    for (const end of ["done", "notDone", "unclear"] as const) {
      const store = new MemoryStore();
      const { engine } = engineOn(store);
      const upstream = new Upstream();
      const attempt = attemptFor("1", "f", probing);
      await leaveInDoubt(engine, upstream, attempt);
      const retries = [0, 1, 2].map(() => client(attempt, upstream.work));
      for (const one of retries) engine.begin(one);
      await upstream.called(1, "probes");
      if (end === "done") upstream.probes[0]?.end({ kind: "done", response: response(200, "found") });
      if (end === "unclear") upstream.probes[0]?.end({ kind: "unclear", why: "500" });
      if (end === "notDone") {
        upstream.probes[0]?.end({ kind: "notDone" });
        await upstream.called(2);
        upstream.calls[1]?.end(answered(201));
      }
      const answers = (await Promise.all(retries.map((one) => one.answer))).map(statusOf);
      const expected = {
        done: ["200 replayed", "200 replayed", "200 replayed"],
        notDone: ["201 executed", "201 shared", "201 shared"],
        unclear: ["outcome-unknown", "outcome-unknown", "outcome-unknown"],
      }[end];
      t.same(answers, expected, end);
      t.equal(upstream.probes.length, 1, end);
      if (end === "unclear") t.match(await store.peek(attempt.key, false), { state: "in_doubt", cause: "reset" });
    }
  },
);

t.test("an owner that died is found out when its lease ends, and the waiters are told", async (t) => {
  const store = new MemoryStore();
  const attempt = attemptFor("1", "f", { leaseMs: 1000 });
  const dead = { key: attempt.key, token: "d".repeat(32) };
  await store.claim({ ...claimOf(attempt), lease: dead });
  const { engine, hub } = engineOn(store);
  const doubts: string[] = [];
  hub.on("inDoubt", ({ cause }) => doubts.push(cause));
  const upstream = new Upstream();
  const waiter = client(attempt, upstream.work);
  engine.begin(waiter);
  store.passTime(1001);
  t.equal(statusOf(await waiter.answer), "outcome-unknown");
  t.same(doubts, ["lease_expired"]);
  t.equal(upstream.calls.length, 0);
});

t.test("without the store nothing is sent, or everything, as the route says", async (t) => {
  const store = new MemoryStore();
  store.claim = async () => {
    throw new StoreUnavailableError("claim", false);
  };
  const upstream = new Upstream();
  const refused = client(attemptFor("1"), upstream.work);
  engineOn(store).engine.begin(refused);
  t.equal(statusOf(await refused.answer), "store-unavailable");
  t.equal(upstream.calls.length, 0);
  const passed = client(attemptFor("1", "f", { storeUnavailable: "bypass" }), upstream.work);
  engineOn(store).engine.begin(passed);
  await upstream.called(1);
  upstream.calls[0]?.end(answered(200));
  t.equal(statusOf(await passed.answer), "200 bypassed");
});

t.test("a claim whose answer was lost is withdrawn, and the retry runs", async (t) => {
  const store = new MemoryStore();
  const claim = store.claim.bind(store);
  store.claim = async (request) => {
    await claim(request);
    throw new StoreUnavailableError("claim", true);
  };
  const { engine } = engineOn(store);
  const upstream = new Upstream();
  const lost = client(attemptFor("1"), upstream.work);
  engine.begin(lost);
  t.equal(statusOf(await lost.answer), "store-unavailable");
  await engine.idle();
  store.claim = claim;
  const retry = client(attemptFor("1"), upstream.work);
  engine.begin(retry);
  await upstream.called(1);
  upstream.calls[0]?.end(answered(201));
  t.equal(statusOf(await retry.answer), "201 executed");
});

t.test("a lost claim that took a record over from doubt leaves it in doubt", async (t) => {
  const store = new MemoryStore();
  const attempt = attemptFor("1", "f", { inDoubt: "retry" });
  const owner = { key: attempt.key, token: "a".repeat(32) };
  await store.claim({ ...claimOf(attempt), lease: owner });
  await store.strand(owner, "timeout", undefined, claimOf(attempt));
  const claim = store.claim.bind(store);
  store.claim = async (request) => {
    await claim(request);
    throw new StoreUnavailableError("claim", true);
  };
  const { engine } = engineOn(store);
  const lost = client(attempt, new Upstream().work);
  engine.begin(lost);
  await lost.answer;
  await engine.idle();
  t.match(await store.peek(attempt.key, false), { state: "in_doubt", cause: "timeout" });
});

t.test(
  "a store that fails after the upstream answered costs the client nothing; the record is written when it is back",
  async (t) => {
    const store = new MemoryStore();
    const complete = store.complete.bind(store);
    let failures = 2;
    store.complete = async (...args) => {
      if (failures-- > 0) throw new StoreUnavailableError("complete", true);
      return complete(...args);
    };
    const { engine, hub } = engineOn(store);
    const faults: string[] = [];
    hub.on("fault", ({ what }) => faults.push(what));
    const upstream = new Upstream();
    const first = client(attemptFor("1"), upstream.work);
    engine.begin(first);
    await upstream.called(1);
    upstream.calls[0]?.end(answered(201));
    t.equal(statusOf(await first.answer), "201 executed");
    t.equal(faults.length, 1);
    await engine.idle();
    const retry = client(attemptFor("1"), upstream.work);
    engine.begin(retry);
    t.equal(statusOf(await retry.answer), "201 replayed");
  },
);

t.test("a store that stays away until the lease ends leaves the record in doubt", async (t) => {
  const store = new MemoryStore();
  store.complete = async () => {
    throw new StoreUnavailableError("complete", true);
  };
  const { engine, hub } = engineOn(store);
  const doubts: string[] = [];
  hub.on("inDoubt", ({ cause }) => doubts.push(cause));
  const upstream = new Upstream();
  const attempt = attemptFor("1", "f", { leaseMs: 200 });
  const first = client(attempt, upstream.work);
  engine.begin(first);
  await upstream.called(1);
  upstream.calls[0]?.end(answered(201));
  t.equal(statusOf(await first.answer), "201 executed");
  await engine.idle();
  t.same(doubts, ["store_lost"]);
  store.passTime(201);
  t.match(await store.peek(attempt.key, false), { state: "in_doubt" });
});

t.test("what was never sent is no doubt, however long the store stays away", async (t) => {
  for (const taken of [false, true]) {
    const store = new MemoryStore();
    const { engine, hub } = engineOn(store);
    const upstream = new Upstream();
    const attempt = attemptFor("1", "f", { leaseMs: 200, inDoubt: "retry" });
    if (taken) await leaveInDoubt(engine, upstream, attempt);
    const doubts: string[] = [];
    hub.on("inDoubt", ({ cause }) => doubts.push(cause));
    let isAway = true;
    for (const verb of ["release", "withdraw"] as const) {
      const write: (...given: never[]) => Promise<"released" | "withdrawn" | "lost"> = store[verb].bind(store);
      store[verb] = async (...given: never[]) => {
        if (isAway) throw new StoreUnavailableError(verb, true);
        return (await write(...given)) as never;
      };
    }
    const first = client(attempt, upstream.work);
    engine.begin(first);
    await upstream.called(taken ? 2 : 1);
    upstream.calls.at(-1)?.end({ kind: "unsent", error: new Error("refused") });
    t.equal(statusOf(await first.answer), "upstream-unreachable");
    await pause(250);
    store.passTime(201);
    t.match(await store.peek(attempt.key, false), { state: "in_doubt" });
    isAway = false;
    await engine.idle();
    t.same(doubts, []);
    if (taken) t.match(await store.peek(attempt.key, false), { state: "in_doubt", cause: "reset" });
    else t.equal(await store.peek(attempt.key, false), undefined);
  }
});

t.test("the store going away does not free a record known to be in flight elsewhere", async (t) => {
  const store = new MemoryStore();
  const attempt = attemptFor("1", "f", { storeUnavailable: "bypass" });
  await store.claim({ ...claimOf(attempt), lease: { key: attempt.key, token: "b".repeat(32) } });
  const claim = store.claim.bind(store);
  let asked = 0;
  let seen: (value?: unknown) => void = () => {};
  const second = new Promise((resolve) => {
    seen = resolve;
  });
  store.claim = async (request): Promise<Claim> => {
    if (asked++ === 0) return claim(request);
    seen();
    throw new StoreUnavailableError("claim", false);
  };
  const upstream = new Upstream();
  const waiter = client(attempt, upstream.work);
  engineOn(store).engine.begin(waiter);
  await second;
  store.claim = claim;
  await store.complete(
    { key: attempt.key, token: "b".repeat(32) },
    { kind: "response", response: response(201) },
    claimOf(attempt),
  );
  t.equal(statusOf(await waiter.answer), "201 shared");
  t.equal(upstream.calls.length, 0);
});

t.test("observe forwards everything and says what it would have done", async (t) => {
  const store = new MemoryStore();
  const { engine, hub } = engineOn(store);
  const would: string[] = [];
  hub.on("observed", (event) => would.push(event.would));
  const upstream = new Upstream();
  const ask = async (fingerprint: string) => {
    const one = client(attemptFor("1", fingerprint, { mode: "observe" }), upstream.work);
    engine.begin(one);
    await upstream.called(++calls);
    upstream.calls[calls - 1]?.end(answered(201));
    return statusOf(await one.answer);
  };
  let calls = 0;
  t.equal(await ask("a"), "201 executed");
  t.equal(await ask("a"), "201 unprotected");
  t.equal(await ask("b"), "201 unprotected");
  t.same(would, ["replay", "mismatch"]);
});

t.test("what still runs when a drain is over is left in doubt, and its clients are told", async (t) => {
  const store = new MemoryStore();
  const { engine } = engineOn(store);
  const upstream = new Upstream();
  const attempt = attemptFor("1");
  const one = client(attempt, upstream.work);
  engine.begin(one);
  await upstream.called(1);
  await engine.abandon();
  t.equal(statusOf(await one.answer), "outcome-unknown");
  t.match(await store.peek(attempt.key, false), { state: "in_doubt", cause: "reset" });
});

t.test("a takeover that never reached the upstream leaves the earlier doubt as it was", async (t) => {
  const store = new MemoryStore();
  const { engine } = engineOn(store);
  const upstream = new Upstream();
  const attempt = attemptFor("1", "f", { inDoubt: "retry" });
  for (const end of ["unanswered", "unsent"] as const) {
    const one = client(attempt, upstream.work);
    engine.begin(one);
    await upstream.called(end === "unanswered" ? 1 : 2);
    const error = new Error("x");
    upstream.calls.at(-1)?.end(end === "unsent" ? { kind: end, error } : { kind: end, error, cause: "reset" });
    await one.answer;
  }
  t.match(await store.peek(attempt.key, false), { state: "in_doubt", cause: "reset" });
});

t.test("what a probe allows is not sent when the lease has run out meanwhile, and stays in doubt", async (t) => {
  const store = new MemoryStore();
  const { engine } = engineOn(store);
  const upstream = new Upstream();
  const attempt = attemptFor("1", "f", { ...probing, leaseMs: 1000 });
  await leaveInDoubt(engine, upstream, attempt);
  const [one, other] = [client(attempt, upstream.work), client(attempt, upstream.work)];
  engine.begin(one);
  engine.begin(other);
  await upstream.called(1, "probes");
  busy(1100);
  upstream.probes[0]?.end({ kind: "notDone" });
  t.same([await one.answer, await other.answer].map(statusOf), ["in-progress", "in-progress"]);
  t.equal((await one.answer).result, "in_progress");
  t.equal(upstream.calls.length, 1);
  t.match(await store.peek(attempt.key, false), { state: "in_doubt" });
});

t.test("what waits to be sent when a drain is over is not sent: its lease was given away", async (t) => {
  const store = new MemoryStore();
  const { engine } = engineOn(store);
  const upstream = new Upstream();
  const attempt = attemptFor("1", "f", probing);
  await leaveInDoubt(engine, upstream, attempt);
  const one = client(attempt, upstream.work);
  engine.begin(one);
  await upstream.called(1, "probes");
  await engine.abandon();
  upstream.probes[0]?.end({ kind: "notDone" });
  await one.answer;
  await engine.idle();
  t.equal(upstream.calls.length, 1);
  t.match(await store.peek(attempt.key, false), { state: "in_doubt" });
});

/** As a process that is paused: no timer runs, and the clock goes on. */
function busy(ms: number): void {
  const endsAtMs = performance.now() + ms;
  while (performance.now() < endsAtMs);
}

t.test("a claim that took longer than its lease is asked about, and what was renewed may be sent", async (t) => {
  const store = new MemoryStore();
  const claim = store.claim.bind(store);
  store.claim = async (request) => {
    const claimed = await claim(request);
    busy(800);
    return claimed;
  };
  const { engine } = engineOn(store);
  const upstream = new Upstream();
  const attempt = attemptFor("1", "f", { leaseMs: 1000 });
  const one = client(attempt, upstream.work);
  engine.begin(one);
  await upstream.called(1);
  upstream.calls[0]?.end(answered(201));
  t.equal(statusOf(await one.answer), "201 executed");
});

function claimOf(attempt: ReturnType<typeof attemptFor>) {
  return {
    fingerprint: attempt.fingerprint,
    keyHash: attempt.keyHash,
    leaseMs: attempt.policy.leaseMs,
    retentionMs: attempt.policy.retentionMs,
    openRetentionMs: attempt.policy.inDoubtRetentionMs,
    mayTake: false,
    route: "pay",
    namespace: "pay",
  };
}
