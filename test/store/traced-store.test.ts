import t from "tap";
import { StoreUnavailableError } from "../../src/store/record-store.js";
import { tracedStore } from "../../src/store/traced-store.js";
import type { Trace } from "../../src/trace.js";
import { answer, asking, landed, leaseMs, leaseOn, newKey, origin, retentionMs } from "./contract-material.js";
import { MemoryStore } from "./memory-store.js";

function opened() {
  const told: string[] = [];
  const trace: Trace = {
    traceId: "",
    spanId: "",
    origin: undefined,
    ask: (verb) => (what, failed) => void told.push(`${verb} ${what}${failed ? " failed" : ""}`),
    call: () => t.fail("a store calls nobody") as never,
    waited: () => {},
    repeats: () => {},
  };
  const memory = new MemoryStore();
  return { told, trace, memory, store: tracedStore(memory) };
}

t.test("a claim and the end of its execution are told to the trace of the request that claimed", async (t) => {
  const { told, trace, store } = opened();
  const [paid, released, stranded] = [leaseOn(newKey()), leaseOn(newKey()), leaseOn(newKey())];
  for (const lease of [paid, released, stranded]) await store.claim(asking(lease, { trace }));
  await store.extend(paid, leaseMs, retentionMs);
  await store.complete(paid, answer("x"), origin);
  await store.release(released);
  await store.strand(stranded, "reset", landed("x"), origin);
  await store.claim(asking(leaseOn(paid.key), { trace }));
  t.same(told, [
    "claim won",
    "claim won",
    "claim won",
    "complete stored",
    "release released",
    "strand stranded",
    "claim done",
  ]);
});

t.test("what belongs to no traced request is told to nobody", async (t) => {
  const { told, trace, store } = opened();
  const untraced = leaseOn(newKey());
  await store.claim(asking(untraced));
  await store.complete(untraced, answer("x"), origin);
  const withdrawn = leaseOn(newKey());
  await store.claim(asking(withdrawn, { trace }));
  await store.withdraw(withdrawn);
  await store.peek(untraced.key, true);
  await store.list({ limit: 1 });
  await store.census();
  t.same(told, ["claim won"]);
});

t.test("an ending that is tried again is told when it first fails, and when it succeeds", async (t) => {
  const { told, trace, memory, store } = opened();
  const lease = leaseOn(newKey());
  await store.claim(asking(lease, { trace }));
  const complete = memory.complete.bind(memory);
  let failures = 3;
  memory.complete = (...args) =>
    failures-- > 0 ? Promise.reject(new StoreUnavailableError("complete", true)) : complete(...args);
  for (let turn = 0; turn < 3; turn++) await t.rejects(store.complete(lease, answer("x"), origin));
  t.equal(await store.complete(lease, answer("x"), origin), "stored");
  t.same(told, ["claim won", "complete StoreUnavailableError failed", "complete stored"]);
});
