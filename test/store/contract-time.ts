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
  openRetentionMs,
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
    t.ok(claim.kind === "done" && Math.abs(claim.remainingMs - hour) < minute, "and says how long it will be kept");
    await under.passTime(2 * hour);
    t.equal(await store.peek(lease.key, true), undefined);
    t.same(await store.claim(asking(leaseOn(lease.key))), { kind: "won", attempts: 1, taken: null });
  });

  await each("a lease is prolonged by extending it, and never taken back once it is over", async (t, under, store) => {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    for (let turn = 0; turn < 3; turn++) {
      await under.passTime(leaseMs - minute);
      t.equal(await store.extend(lease, leaseMs, openRetentionMs), "kept");
    }
    const claim = await store.claim(asking(leaseOn(lease.key)));
    t.ok(claim.kind === "held" && claim.remainingMs > leaseMs - minute && claim.remainingMs <= leaseMs);
    await under.passTime(leaseMs + minute);
    const before = await store.peek(lease.key, true);
    t.equal(await store.extend(lease, leaseMs, openRetentionMs), "lost");
    t.same(await store.peek(lease.key, true), before);
    t.match(await store.claim(asking(leaseOn(lease.key))), { kind: "inDoubt", expired: true });
  });

  await each(
    "a record that no claim meets outlives its lease by what open records are held, and no longer",
    async (t, under, s) => {
      const [held, extended] = [leaseOn(newKey()), leaseOn(newKey())];
      for (const lease of [held, extended]) await s.claim(asking(lease, { leaseMs: hour }));
      await s.extend(extended, 3 * hour, openRetentionMs);
      await under.passTime(openRetentionMs + hour - minute);
      t.match(await s.peek(held.key, false), { state: "in_doubt", cause: "lease_expired" });
      await s.claim(asking(leaseOn(held.key)));
      await under.passTime(2 * minute);
      t.equal(await s.peek(held.key, false), undefined);
      t.match(await s.peek(extended.key, false), { state: "in_doubt" });
      await under.passTime(2 * hour);
      t.equal((await s.claim(asking(leaseOn(extended.key), { fingerprint: other }))).kind, "won");
    },
  );

  await each("the retention of a response counts from the end of its request", async (t, under, store) => {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    await under.passTime(leaseMs - minute);
    await store.extend(lease, 3 * retentionMs, openRetentionMs);
    await under.passTime(2 * retentionMs);
    t.equal(await store.complete(lease, answer("slow"), origin), "stored");
    await under.passTime(retentionMs - minute);
    t.equal((await store.peek(lease.key, false))?.state, "completed");
    await under.passTime(2 * minute);
    t.equal(await store.peek(lease.key, false), undefined);
  });

  await each("a stranded record does not outlive what open records are held", async (t, under, store) => {
    const { key } = await states["in doubt"]!(store, newKey());
    await under.passTime(openRetentionMs - minute);
    t.equal((await store.claim(asking(leaseOn(key)))).kind, "inDoubt");
    await under.passTime(2 * minute);
    t.equal((await store.claim(asking(leaseOn(key)))).kind, "won");
  });
}

/** A doubt may be met by a claim under a policy that holds it for less time than the policy before. */
export async function holdingContract(each: Each): Promise<void> {
  await each("a takeover, its extension and its withdrawal never shorten a doubt", async (t, under, store) => {
    const { key } = await states["in doubt"]!(store, newKey());
    const { expiresAtMs } = (await store.peek(key, false))!;
    const taker = leaseOn(key);
    await store.claim(asking(taker, { mayTake: true, openRetentionMs: hour }));
    t.equal(await store.extend(taker, leaseMs, hour), "kept");
    t.equal((await store.peek(key, false))!.expiresAtMs, expiresAtMs);
    t.equal(await store.withdraw(taker), "withdrawn");
    t.match(await store.peek(key, false), { state: "in_doubt", cause: "timeout", expiresAtMs });
    await under.passTime(openRetentionMs - minute);
    t.equal((await store.peek(key, false))?.state, "in_doubt");
  });

  await each("a doubt that is taken over is held longer, where the policy says so", async (t, under, store) => {
    const { key } = await states["in doubt"]!(store, newKey());
    const taker = leaseOn(key);
    await under.passTime(openRetentionMs - hour);
    await store.claim(asking(taker, { mayTake: true }));
    t.equal(await store.withdraw(taker), "withdrawn");
    await under.passTime(openRetentionMs - minute);
    t.match(await store.peek(key, false), { state: "in_doubt", cause: "timeout" });
  });
}

export async function sweepContract(each: Each): Promise<void> {
  await each("a sweep turns leases that ran out into doubts, each told once", async (t, under, store) => {
    const [expired, extended] = [leaseOn(newKey()), leaseOn(newKey())];
    await store.claim(asking(expired, { route: "refund" }));
    await store.claim(asking(extended));
    await store.extend(extended, 2 * leaseMs, openRetentionMs);
    const others = await Promise.all(Object.values(states).map((make) => make(store, newKey())));
    t.same(await store.sweep(100), [], "no lease is over");
    await store.release(others[0]!);
    await under.passTime(leaseMs + minute);
    const before = await store.peek(expired.key, true);
    t.same(await store.sweep(100), [{ key: expired.key, route: "refund" }]);
    t.same(await store.peek(expired.key, true), before, "as it was shown before");
    t.same(await store.sweep(100), []);
    const doubt = { kind: "inDoubt", cause: "lease_expired", expired: false };
    t.match(await store.claim(asking(leaseOn(expired.key))), doubt, "not told again");
    t.equal((await store.peek(extended.key, false))?.state, "in_flight");
    await under.passTime(openRetentionMs - 2 * minute);
    t.match(await store.peek(expired.key, false), { state: "in_doubt" }, "held as long as without a sweep");
    await under.passTime(2 * minute);
    t.equal(await store.peek(expired.key, false), undefined);
  });

  await each("what a claim has found is not swept", async (t, under, store) => {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    await under.passTime(leaseMs + minute);
    t.match(await store.claim(asking(leaseOn(lease.key))), { kind: "inDoubt", expired: true });
    t.same(await store.sweep(100), []);
  });

  await each("a late owner may still end what was swept", async (t, under, store) => {
    const [done, stranded, released, unsent] = [1, 2, 3, 4].map(() => leaseOn(newKey()));
    for (const lease of [done!, stranded!, released!, unsent!]) await store.claim(asking(lease));
    await under.passTime(leaseMs + minute);
    t.equal((await store.sweep(100)).length, 4);
    t.equal(await store.extend(done!, leaseMs, openRetentionMs), "lost");
    t.equal(await store.complete(done!, answer("late but true"), origin), "stored");
    t.equal(await store.strand(stranded!, "reset", undefined, origin), "stranded");
    t.equal(await store.release(released!), "released");
    t.equal(await store.withdraw(unsent!), "withdrawn");
    t.equal((await store.claim(asking(leaseOn(released!.key)))).kind, "won");
  });

  await each("sweeps take turns: no more than asked for, and none twice", async (t, under, store) => {
    const remote = under.another === undefined ? store : await under.another();
    const keys = Array.from({ length: 25 }, newKey);
    for (const key of keys) await store.claim(asking(leaseOn(key)));
    await under.passTime(leaseMs + minute);
    const found: string[] = [];
    for (let turn = 0; turn < 10; turn++) {
      const both = await Promise.all([store.sweep(3), remote.sweep(3)]);
      for (const swept of both) t.ok(swept.length <= 3);
      found.push(...both.flat().map(({ key }) => key));
    }
    t.same(found.sort(), [...keys].sort());
  });

  await each("a doubt that was taken over is swept when its taker's lease runs out", async (t, under, store) => {
    const { key } = await states["in doubt"]!(store, newKey());
    await store.claim(asking(leaseOn(key), { mayTake: true }));
    t.same(await store.sweep(100), []);
    await under.passTime(leaseMs + minute);
    t.same(await store.sweep(100), [{ key, route: "pay" }]);
    t.match(await store.peek(key, false), { state: "in_doubt", cause: "lease_expired", attempts: 2 });
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
