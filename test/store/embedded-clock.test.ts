import t from "tap";
import {
  answer,
  asking,
  hour,
  leaseMs,
  leaseOn,
  minute,
  newKey,
  openRetentionMs,
  origin,
  states,
} from "./contract-material.js";
import { bundled, embeddedIn } from "./embedded-harness.js";

const thread = await bundled(t, "src/store/sqlite/thread-main.ts");

for (const stepMs of [1000 * hour, -1000 * hour]) {
  await t.test(`a step of the wall clock by ${stepMs / hour} hours ends no lease and forgets nothing`, async (t) => {
    const embedded = embeddedIn(thread);
    t.teardown(() => embedded.close());
    const store = await embedded.open();
    const leases = await Promise.all(Object.values(states).map((make) => make(store, newKey())));
    const before = await Promise.all(leases.map(({ key }) => store.peek(key, true)));
    embedded.skewMs[1]! += stepMs;
    const another = await embedded.open();
    for (const from of [store, another]) {
      t.same(await Promise.all(leases.map(({ key }) => from.peek(key, true))), before);
      t.same(await from.sweep(100), [], "no lease is over");
    }
    const [flying, completed] = leases;
    t.equal((await another.claim(asking(leaseOn(flying!.key), { mayTake: true }))).kind, "held");
    t.equal(await store.extend(flying!, leaseMs, openRetentionMs), "kept");
    t.equal((await another.claim(asking(leaseOn(completed!.key)))).kind, "done");
    t.equal(await store.complete(flying!, answer("in time"), origin), "stored");
  });
}

t.test("when the system has restarted, all leases are over and what is open is held for as long again", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const before = await embedded.open({ boot: "one" });
  const [flying, doubted, completed] = [
    await states["in flight"]!(before, newKey()),
    await states["in doubt"]!(before, newKey()),
    await states.completed!(before, newKey()),
  ];
  await before.close();
  // The system was off for longer than anything is held.
  embedded.skewMs[0]! += 3 * openRetentionMs;
  const store = await embedded.open({ boot: "two" });
  t.match(await store.peek(flying.key, false), { state: "in_doubt", cause: "lease_expired" });
  t.match(await store.peek(doubted.key, false), { state: "in_doubt", cause: "timeout" });
  t.equal(await store.peek(completed.key, false), undefined, "its retention is over");
  t.match(await store.sweep(10), [{ key: flying.key }]);
  embedded.skewMs[0]! += openRetentionMs - minute;
  t.match(await store.peek(doubted.key, false), { state: "in_doubt" });
  t.equal(await store.complete(flying, answer("late but true"), origin), "stored");
});

t.test("a system that restarts with a clock in the past goes on from where it was", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const before = await embedded.open({ boot: "one" });
  const completed = await states.completed!(before, newKey());
  const { createdAtMs } = (await before.peek(completed.key, false))!;
  await before.close();
  embedded.skewMs[1]! -= 20 * 365 * 24 * hour;
  const store = await embedded.open({ boot: "two" });
  t.equal((await store.claim(asking(leaseOn(completed.key)))).kind, "done");
  const later = await states.completed!(store, newKey());
  t.ok((await store.peek(later.key, false))!.createdAtMs >= createdAtMs - minute);
});
