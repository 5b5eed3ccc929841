import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import type { RecordStore } from "../../src/store/record-store.js";
import { MemoryStore } from "../store/memory-store.js";
import { answered, attemptFor, client, engineOn, Upstream } from "./fixture.js";

// A drain meets requests in every phase. What is being claimed has no execution yet, and must not be overlooked.

/** A store whose claims are answered when the test says so. */
function slowlyClaiming(): { store: MemoryStore; answerClaims: () => void } {
  const store = new MemoryStore();
  Object.defineProperty(store, "withdrawAfterMs", { value: 0 });
  const claim = store.claim.bind(store);
  const held: (() => void)[] = [];
  store.claim = async (request) => {
    await new Promise<void>((resolve) => held.push(resolve));
    return claim(request);
  };
  return {
    store,
    answerClaims() {
      for (const answer of held.splice(0)) answer();
    },
  };
}

for (const mode of ["enforce", "observe"] as const) {
  t.test(`${mode}: a drain waits for a request that is still claimed for, also when its client has left`, async (t) => {
    const { store, answerClaims } = slowlyClaiming();
    const { engine } = engineOn(store);
    const upstream = new Upstream();
    const attempt = attemptFor("1", "f", { mode });
    const leave = engine.begin(client(attempt, upstream.work));
    t.equal(leave(), false);
    let isIdle = false;
    const idle = engine.idle().then(() => {
      isIdle = true;
    });
    await pause(30);
    t.equal(isIdle, false, "while it is claimed for");
    answerClaims();
    await upstream.called(1);
    await pause(30);
    t.equal(isIdle, false, "while it runs");
    upstream.calls[0]?.end(answered(201));
    await idle;
    t.match(await store.peek(attempt.key, false), { state: "completed" });
  });

  t.test(`${mode}: a claim that is won after the drain is over is taken back, and nothing is sent`, async (t) => {
    const { store, answerClaims } = slowlyClaiming();
    const { engine } = engineOn(store);
    const upstream = new Upstream();
    const attempt = attemptFor("1", "f", { mode });
    engine.begin(client(attempt, upstream.work));
    const abandoned = engine.abandon();
    await pause(30);
    answerClaims();
    await abandoned;
    t.equal(await store.peek(attempt.key, false), undefined);
    await engine.idle();
    t.equal(upstream.calls.length, 0);
  });
}

t.test("what is given up while its old lease is asked about is not sent", async (t) => {
  const store = new MemoryStore();
  const [claim, extend] = [store.claim.bind(store), store.extend.bind(store)];
  store.claim = async (request) => {
    const claimed = await claim(request);
    await pause(350);
    return claimed;
  };
  let asked: () => void;
  const isAsked = new Promise<void>((resolve) => {
    asked = resolve;
  });
  store.extend = async (...args: Parameters<RecordStore["extend"]>) => {
    asked();
    await pause(50);
    return extend(...args);
  };
  const { engine } = engineOn(store);
  const upstream = new Upstream();
  const one = client(attemptFor("1", "f", { leaseMs: 600 }), upstream.work);
  engine.begin(one);
  await isAsked;
  await engine.abandon();
  t.match(await one.answer, { kind: "problem", problem: { code: "in-progress" } });
  await pause(100);
  t.equal(upstream.calls.length, 0);
  await engine.idle();
});

t.test("an execution that the end of a drain leaves in doubt is counted once, however its call ends", async (t) => {
  const store = new MemoryStore();
  const { engine, hub } = engineOn(store);
  const doubts: string[] = [];
  hub.on("inDoubt", ({ cause }) => doubts.push(cause));
  const upstream = new Upstream();
  const attempt = attemptFor("1");
  engine.begin(client(attempt, upstream.work));
  await upstream.called(1);
  await engine.abandon();
  upstream.calls[0]?.end({ kind: "unanswered", error: new Error("destroyed"), cause: "reset" });
  await engine.idle();
  t.same(doubts, ["reset"]);
  t.match(await store.peek(attempt.key, false), { state: "in_doubt" });
});

t.test("what comes after the end of a drain is told to come again, and is not claimed for", async (t) => {
  const store = new MemoryStore();
  const { engine } = engineOn(store);
  const upstream = new Upstream();
  await engine.abandon();
  for (const mode of ["enforce", "observe"] as const) {
    const one = client(attemptFor("1", "f", { mode }), upstream.work);
    engine.begin(one);
    t.match(await one.answer, { kind: "problem", problem: { code: "in-progress" } });
  }
  await engine.idle();
  t.equal(upstream.calls.length, 0);
  t.equal(await store.peek(attemptFor("1").key, false), undefined);
});

t.test("a drain that is over does not wait for a store that does not answer", async (t) => {
  const { store } = slowlyClaiming();
  const { engine } = engineOn(store);
  const one = client(attemptFor("1"), new Upstream().work);
  engine.begin(one);
  const begunMs = performance.now();
  await engine.abandon();
  t.ok(performance.now() - begunMs < 5_000);
  t.match(await one.answer, { kind: "problem", problem: { code: "in-progress" } });
});
