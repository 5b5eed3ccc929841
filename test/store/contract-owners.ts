import type { Lease, RecordKey } from "../../src/model.js";
import type { RecordStore } from "../../src/store/record-store.js";
import type { Each } from "./contract.js";
import {
  answer,
  asking,
  flightOf,
  hour,
  landed,
  leaseMs,
  leaseOn,
  mine,
  minute,
  newKey,
  openRetentionMs,
  origin,
  refusal,
  responseOf,
  retentionMs,
  sameLanding,
  states,
} from "./contract-material.js";

/** What a late owner may try, each with what it is told when the record is no longer its own. */
const writes: Record<string, (store: RecordStore, lease: Lease) => Promise<string>> = {
  extend: (store, lease) => store.extend(lease, leaseMs, openRetentionMs),
  complete: (store, lease) => store.complete(lease, answer("late"), origin),
  release: (store, lease) => store.release(lease, { landing: refusal, landingMs: hour }),
  withdraw: (store, lease) => store.withdraw(lease),
  strand: (store, lease) => store.strand(lease, "reset", undefined, origin),
};

/** What may have become of a record in doubt while its owner slept. */
const successions: Record<string, (store: RecordStore, key: RecordKey) => Promise<unknown>> = {
  "taken over": (store, key) => store.claim(asking(leaseOn(key), { mayTake: true })),
  "resolved as done": (store, key) =>
    store.resolve(key, { kind: "done", response: responseOf("by hand"), retentionMs }),
  "resolved as not done": (store, key) => store.resolve(key, { kind: "notDone" }),
  forgotten: (store, key) => store.forget(key),
};

export async function ownerContract(each: Each): Promise<void> {
  for (const [what, succeed] of Object.entries(successions)) {
    await each(
      `an owner whose record was ${what} is told so on every verb, and changes nothing`,
      async (t, _, store) => {
        const key = newKey();
        const late = await states["in doubt"]!(store, key);
        await succeed(store, key);
        const before = await store.peek(key, true);
        for (const [verb, write] of Object.entries(writes)) {
          t.equal(await write(store, late), "lost", verb);
          t.same(await store.peek(key, true), before, `${verb} changed nothing`);
        }
      },
    );
  }

  for (const [state, make] of Object.entries(states)) {
    await each(`a foreign token changes nothing of a record ${state}`, async (t, _, store) => {
      const key = newKey();
      await make(store, key);
      const before = await store.peek(key, true);
      for (const [verb, write] of Object.entries(writes)) {
        t.equal(await write(store, leaseOn(key)), "lost", verb);
        t.same(await store.peek(key, true), before, `${verb} changed nothing`);
      }
    });
  }

  await each("an owner is late only once somebody has taken over", async (t, under, store) => {
    const [done, stranded, released] = [leaseOn(newKey()), leaseOn(newKey()), leaseOn(newKey())];
    for (const lease of [done, stranded, released]) await store.claim(asking(lease));
    await under.passTime(leaseMs + minute);
    await store.claim(asking(leaseOn(done.key)));
    t.equal(await store.complete(done, answer("late but true"), origin), "stored");
    t.equal((await store.claim(asking(leaseOn(done.key)))).kind, "done");
    t.equal(await store.strand(stranded, "reset", undefined, origin), "stranded");
    t.match(await store.claim(asking(leaseOn(stranded.key))), { kind: "inDoubt", cause: "reset", expired: false });
    t.equal(await store.release(released, { landing: refusal, landingMs: hour }), "released");
    t.equal((await store.claim(asking(leaseOn(released.key)))).kind, "won");
  });

  await each("what is completed stays as it was first completed", async (t, _, store) => {
    const lease = await states.completed!(store, newKey());
    const before = await store.peek(lease.key, true);
    t.equal(await store.complete(lease, answer("second"), origin), "stored");
    t.equal(await store.strand(lease, "reset", undefined, origin), "lost");
    t.equal(await store.release(lease, { landing: refusal, landingMs: hour }), "lost");
    t.equal(await store.extend(lease, leaseMs, openRetentionMs), "lost");
    t.same(await store.peek(lease.key, true), before);
  });

  await each(
    "a record that is gone is written anew by its owner, unless somebody claimed it since",
    async (t, _, s) => {
      const lease = leaseOn(newKey());
      t.equal(await s.extend(lease, leaseMs, openRetentionMs), "lost");
      t.equal(await s.peek(lease.key, true), undefined);
      t.equal(await s.complete(lease, answer("kept"), origin), "stored");
      const view = await s.peek(lease.key, false);
      t.match(view, {
        state: "completed",
        status: 201,
        attempts: 1,
        fingerprint: mine,
        route: "pay",
        namespace: "shop",
      });
      const since = leaseOn(newKey());
      await s.claim(asking(since));
      t.equal(await s.complete(leaseOn(since.key), answer("too late"), origin), "lost");
      t.equal((await s.peek(since.key, false))?.state, "in_flight");
      t.equal(await s.strand(leaseOn(since.key), "reset", undefined, origin), "lost");
      t.equal((await s.peek(since.key, false))?.state, "in_flight");
    },
  );

  await each("a doubt whose record is gone is written again, and held as long as any other", async (t, under, s) => {
    const lease = leaseOn(newKey());
    t.equal(await s.strand(lease, "timeout", landed("no answer", 504), origin), "stranded");
    const view = (await s.peek(lease.key, false))!;
    t.match(view, { state: "in_doubt", cause: "timeout", attempts: 1, fingerprint: mine, route: "pay" });
    t.match(view, { namespace: "shop", keyHash: origin.keyHash, status: null });
    t.ok(Math.abs(view.expiresAtMs - view.createdAtMs - openRetentionMs) < minute);
    t.match(await s.claim(asking(leaseOn(lease.key))), { kind: "inDoubt", cause: "timeout", expired: false });
    const waiter = asking(leaseOn(lease.key), { after: flightOf(lease) });
    sameLanding(t, await s.claim(waiter), landed("no answer", 504));
    t.match(await s.census(), [{ route: "pay", records: 1 }]);
    t.equal((await s.list({ state: "in_doubt", limit: 9 })).records.length, 1);
    await under.passTime(openRetentionMs - minute);
    t.equal(await s.complete(lease, answer("late but true"), origin), "stored");
    const unsent = leaseOn(newKey());
    await s.strand(unsent, "reset", undefined, origin);
    t.equal(await s.withdraw(unsent), "withdrawn", "it took over no doubt");
    t.equal(await s.peek(unsent.key, false), undefined);
  });
}
