import t from "tap";
import { Withdrawals } from "../../src/engine/withdrawals.js";
import { EventHub } from "../../src/events.js";
import type { Lease, RecordKey } from "../../src/model.js";
import { StoreUnavailableError } from "../../src/store/record-store.js";
import { MemoryStore } from "../store/memory-store.js";
import { policy } from "./fixture.js";

const leaseOf = (name: string): Lease => ({ key: name.padStart(64, "0") as RecordKey, token: name.padStart(32, "0") });

t.test("a withdrawal that is asked for just as the last one before it ends is carried out", async (t) => {
  for (let turns = 0; turns < 8; turns++) {
    const withdrawn: string[] = [];
    const store = new MemoryStore();
    Object.defineProperty(store, "withdrawAfterMs", { value: 0 });
    store.withdraw = async ({ key }) => {
      withdrawn.push(key);
      if (key === leaseOf("a").key) void afterMicrotasks(turns).then(() => withdrawals.add(leaseOf("b"), policy));
      return "withdrawn";
    };
    const withdrawals = new Withdrawals(store, new EventHub());
    withdrawals.add(leaseOf("a"), policy);
    await afterMicrotasks(turns + 2);
    await withdrawals.idle();
    t.same(new Set(withdrawn), new Set([leaseOf("a").key, leaseOf("b").key]), `${turns} microtasks later`);
  }
});

t.test("claims on a server that is away are not in the way of the others", async (t) => {
  const withdrawn = new Set<string>();
  const store = new MemoryStore();
  Object.defineProperty(store, "withdrawAfterMs", { value: 0 });
  let isAway = true;
  store.withdraw = async ({ key }) => {
    if (isAway && key.endsWith("away")) throw new StoreUnavailableError("withdraw", false);
    withdrawn.add(key);
    return "withdrawn";
  };
  const withdrawals = new Withdrawals(store, new EventHub());
  const away = Array.from({ length: 1000 }, (_, at) => leaseOf(`${at}away`));
  const there = Array.from({ length: 10 }, (_, at) => leaseOf(`${at}there`));
  for (const lease of [...away, ...there]) withdrawals.add(lease, policy);
  // And they do not hold up what comes later.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const late = leaseOf("9late");
  withdrawals.add(late, policy);
  for (let turn = 0; turn < 80 && !withdrawn.has(late.key); turn++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.ok(withdrawn.has(late.key));
  const isDone = () => there.every(({ key }) => withdrawn.has(key));
  for (let turn = 0; turn < 300 && !isDone(); turn++) await new Promise((resolve) => setTimeout(resolve, 20));
  t.ok(isDone());
  isAway = false;
  await withdrawals.idle();
  t.equal(withdrawn.size, 1011);
});

async function afterMicrotasks(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await undefined;
}

t.test("a withdrawal that the store refuses for good, or whose record is forgotten, ends", async (t) => {
  for (const [what, error, kept] of [
    ["refused", new Error("no record lies there"), policy],
    ["forgotten", new StoreUnavailableError("withdraw", false), { leaseMs: 100, inDoubtRetentionMs: 100 }],
  ] as const) {
    const store = new MemoryStore();
    const hub = new EventHub();
    const faults: string[] = [];
    hub.on("fault", ({ what }) => faults.push(what));
    store.withdraw = () => Promise.reject(error);
    const withdrawals = new Withdrawals(store, hub);
    withdrawals.add(leaseOf("a"), kept);
    await withdrawals.idle();
    t.match(faults, [/cannot be withdrawn/], what);
  }
});
