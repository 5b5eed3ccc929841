import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { Keeper } from "../../src/engine/keeper.js";
import type { Lease, RecordKey } from "../../src/model.js";
import { MemoryStore } from "../store/memory-store.js";

const leaseOf = (name: string): Lease => ({ key: name.padStart(64, "0") as RecordKey, token: name.padStart(32, "0") });
const leaseMs = 900;

function keeperOn(): { keeper: Keeper; renewed: string[] } {
  const store = new MemoryStore();
  const renewed: string[] = [];
  store.extend = async ({ token }) => {
    renewed.push(token.slice(-1));
    return "kept";
  };
  return { keeper: new Keeper(store), renewed };
}

t.test("a lease is renewed at a third of it, one whose claim was long under way at once", async (t) => {
  const { keeper, renewed } = keeperOn();
  const keep = (name: string, ageMs: number) =>
    keeper.keep(leaseOf(name), leaseMs, 1e6, performance.now() - ageMs, t.fail);
  const [young, old] = [keep("a", 0), keep("b", leaseMs / 2)];
  t.same(renewed, ["b"]);
  await pause(0);
  for (const kept of [young, old]) t.ok(keeper.isSurelyHeld(kept));
  await pause(leaseMs / 3 + 150);
  t.same(renewed.slice().sort(), ["a", "b", "b"]);
  keeper.drop(young);
  keeper.drop(old);
  await pause(leaseMs / 3 + 150);
  t.equal(renewed.length, 3, "and never again once it is dropped");
});

t.test("one that is lost is not held, and told once", async (t) => {
  const store = new MemoryStore();
  store.extend = async () => "lost";
  const keeper = new Keeper(store);
  let told = 0;
  const kept = keeper.keep(leaseOf("a"), leaseMs, 1e6, performance.now() - leaseMs / 2, () => told++);
  await pause(leaseMs / 3 + 150);
  t.notOk(keeper.isSurelyHeld(kept));
  t.equal(told, 1);
});

t.test("what a slow store confirms counts from its answer, not from the question", async (t) => {
  const store = new MemoryStore();
  let nowMs = 0;
  store.extend = async () => {
    nowMs += 400;
    return "kept";
  };
  const keeper = new Keeper(store, () => nowMs);
  const kept = keeper.keep(leaseOf("a"), 15_000, 1e6, nowMs, t.fail);
  nowMs += 1000;
  t.notOk(keeper.isConfirmedWithin(kept, 250));
  await keeper.renew(kept);
  t.ok(keeper.isConfirmedWithin(kept, 250));
  t.equal(kept.heldUntilMs, 1000 + 15_000, "the lease itself counts from the question");
  keeper.drop(kept);
});
