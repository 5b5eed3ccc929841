import type { RecordKey } from "../../src/model.js";
import type { Each } from "./contract.js";
import {
  answer,
  asking,
  hour,
  leaseMs,
  leaseOn,
  minute,
  newKey,
  origin,
  other,
  retentionMs,
  states,
} from "./contract-material.js";

export async function timeContract(each: Each): Promise<void> {
  await each("a response is kept for its retention and then forgotten", async (t, under, store) => {
    const lease = await states.completed!(store, newKey());
    await under.passTime(retentionMs - hour);
    const claim = await store.claim(asking(leaseOn(lease.key)));
    t.ok(claim.kind === "done" && Math.abs(claim.ageMs - (retentionMs - hour)) < minute);
    await under.passTime(2 * hour);
    t.equal(await store.peek(lease.key, true), undefined);
    t.same(await store.claim(asking(leaseOn(lease.key))), { kind: "won", attempts: 1, taken: null });
  });

  await each("a lease is prolonged by extending it, and never taken back once it is over", async (t, under, store) => {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    for (let turn = 0; turn < 3; turn++) {
      await under.passTime(leaseMs - minute);
      t.equal(await store.extend(lease, leaseMs, retentionMs), "kept");
    }
    const claim = await store.claim(asking(leaseOn(lease.key)));
    t.ok(claim.kind === "held" && claim.remainingMs > leaseMs - minute && claim.remainingMs <= leaseMs);
    await under.passTime(leaseMs + minute);
    const before = await store.peek(lease.key, true);
    t.equal(await store.extend(lease, leaseMs, retentionMs), "lost");
    t.same(await store.peek(lease.key, true), before);
    t.match(await store.claim(asking(leaseOn(lease.key))), { kind: "inDoubt", expired: true });
  });

  await each(
    "a record nobody came back for outlives its lease by its retention, and no longer",
    async (t, under, s) => {
      const [held, extended] = [leaseOn(newKey()), leaseOn(newKey())];
      for (const lease of [held, extended]) await s.claim(asking(lease, { leaseMs: hour }));
      await s.extend(extended, 3 * hour, retentionMs);
      await under.passTime(retentionMs + hour - minute);
      t.match(await s.peek(held.key, false), { state: "in_doubt", cause: "lease_expired" });
      await s.claim(asking(leaseOn(held.key)));
      await under.passTime(2 * minute);
      t.equal(await s.peek(held.key, false), undefined);
      t.match(await s.peek(extended.key, false), { state: "in_doubt" });
      await under.passTime(2 * hour);
      t.equal((await s.claim(asking(leaseOn(extended.key), { fingerprint: other }))).kind, "won");
    },
  );

  await each("a stranded record does not outlive its retention", async (t, under, store) => {
    const { key } = await states["in doubt"]!(store, newKey());
    await under.passTime(retentionMs - minute);
    t.equal((await store.claim(asking(leaseOn(key)))).kind, "inDoubt");
    await under.passTime(2 * minute);
    t.equal((await store.claim(asking(leaseOn(key)))).kind, "won");
  });
}

export async function otherProcessContract(each: Each): Promise<void> {
  await each("another process sees the same records, and wakes those who watch", async (t, under, store) => {
    const remote = under.another === undefined ? store : await under.another();
    const lease = leaseOn(newKey());
    await remote.claim(asking(lease));
    t.equal((await store.claim(asking(leaseOn(lease.key)))).kind, "held");
    await new Promise<void>((resolve) => {
      const stop = store.watch(lease.key, async () => {
        if ((await store.peek(lease.key, false))?.state !== "completed") return;
        stop();
        resolve();
      });
      void remote.complete(lease, answer("from afar"), origin);
    });
    t.equal((await store.claim(asking(leaseOn(lease.key)))).kind, "done");
  });

  await each("what was acknowledged is there after a restart", async (t, under, store) => {
    if (under.reopen === undefined) return void t.pass("this store is gone with its process");
    const keys: Record<string, RecordKey> = {};
    for (const [state, make] of Object.entries(states)) {
      keys[state] = newKey();
      await make(store, keys[state]);
    }
    const before = await Promise.all(Object.values(keys).map((key) => store.peek(key, true)));
    const reopened = await under.reopen();
    t.same(await Promise.all(Object.values(keys).map((key) => reopened.peek(key, true))), before);
    await reopened.ping();
  });
}
