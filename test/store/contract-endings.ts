import type { DoubtCause } from "../../src/model.js";
import type { Each } from "./contract.js";
import {
  answer,
  asking,
  executedIn,
  flightOf,
  hex,
  hour,
  landed,
  leaseMs,
  leaseOn,
  mine,
  minute,
  newKey,
  openRetentionMs,
  origin,
  other,
  refusal,
  sameLanding,
  states,
} from "./contract-material.js";

export async function releaseContract(each: Each): Promise<void> {
  await each("a released record is free, and its attempts are counted on", async (t, _, store) => {
    const key = newKey();
    for (const attempts of [1, 2, 3]) {
      const lease = leaseOn(key);
      t.same(await store.claim(asking(lease)), { kind: "won", attempts, taken: null });
      t.equal(await store.release(lease, { landing: refusal, landingMs: hour }), "released");
      t.equal(await store.release(lease, { landing: refusal, landingMs: hour }), "released", "repeated");
      t.equal(await store.peek(key, true), undefined);
    }
  });

  await each("how a released flight landed is told to those who waited for it, and to nobody else", async (t, _, s) => {
    for (const landing of [refusal, landed("busy", 503), { ...refusal, executedIn }]) {
      const lease = leaseOn(newKey());
      await s.claim(asking(lease));
      await s.release(lease, { landing, landingMs: hour });
      await s.release(lease, { landing: landed("repeated"), landingMs: 3 * hour });
      await s.release(lease);
      for (let waiter = 0; waiter < 2; waiter++) {
        const claim = await s.claim(asking(leaseOn(lease.key), { after: flightOf(lease), mayTake: true }));
        t.equal(claim.kind, "landed");
        sameLanding(t, claim, landing);
      }
      t.equal((await s.claim(asking(leaseOn(lease.key), { after: hex(8) }))).kind, "won", "after another flight");
      t.equal((await s.claim(asking(leaseOn(lease.key), { after: flightOf(lease) }))).kind, "held", "claimed since");
    }
  });

  await each("who has released a record cannot complete or strand it", async (t, _, store) => {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    await store.release(lease, { landing: refusal, landingMs: hour });
    t.equal(await store.complete(lease, answer("after all"), origin), "lost");
    t.equal(await store.strand(lease, "reset", undefined, origin), "lost");
    t.equal(await store.extend(lease, leaseMs, openRetentionMs), "lost");
    const claim = await store.claim(asking(leaseOn(lease.key), { after: flightOf(lease) }));
    t.equal(claim.kind, "landed", "none of it changed anything");
  });

  await each("a landing is kept no longer than asked for", async (t, under, store) => {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    await store.release(lease, { landing: refusal, landingMs: hour });
    await under.passTime(2 * hour);
    const claim = await store.claim(asking(leaseOn(lease.key), { after: flightOf(lease) }));
    t.same(claim, { kind: "won", attempts: 1, taken: null });
  });

  await each("a withdrawn claim leaves no record, and a foreign token withdraws nothing", async (t, _, store) => {
    const lease = leaseOn(newKey());
    t.equal(await store.withdraw(lease), "withdrawn", "a claim that never arrived");
    await store.claim(asking(lease));
    const before = await store.peek(lease.key, true);
    t.equal(await store.withdraw(leaseOn(lease.key)), "lost");
    t.same(await store.peek(lease.key, true), before);
    t.equal(await store.withdraw(lease), "withdrawn");
    t.equal(await store.withdraw(lease), "withdrawn", "repeated");
    t.equal(await store.peek(lease.key, true), undefined);
    const claim = await store.claim(asking(leaseOn(lease.key), { fingerprint: other }));
    t.same(claim, { kind: "won", attempts: 1, taken: null });
  });

  await each("a withdrawn takeover puts the doubt back, however often it is withdrawn", async (t, _, store) => {
    const key = newKey();
    const first = await states["in doubt"]!(store, key);
    const taker = leaseOn(key);
    await store.claim(asking(taker, { mayTake: true }));
    t.equal(await store.withdraw(taker), "withdrawn");
    t.equal(await store.withdraw(taker), "lost");
    const claim = await store.claim(asking(leaseOn(key)));
    t.same(claim, { kind: "inDoubt", fingerprint: mine, cause: "timeout", expired: false });
    t.equal(await store.complete(first, answer("late"), origin), "stored", "nobody ran it meanwhile");
    const unsent = await states["in doubt"]!(store, newKey());
    const other = leaseOn(unsent.key);
    await store.claim(asking(other, { mayTake: true }));
    await store.withdraw(other);
    t.equal(await store.withdraw(unsent), "withdrawn", "the doubt is its own, not one it took over");
    t.equal(await store.peek(unsent.key, false), undefined);
  });

  await each(
    "a doubt outlives those who took it over one after the other and sent nothing",
    async (t, under, store) => {
      const key = newKey();
      const first = await states["in doubt"]!(store, key);
      const [second, third, fourth] = [leaseOn(key), leaseOn(key), leaseOn(key)];
      await store.claim(asking(second, { mayTake: true, leaseMs: minute }));
      await under.passTime(2 * minute);
      t.match(await store.claim(asking(third, { mayTake: true })), { kind: "won", taken: "lease_expired" });
      t.equal(await store.withdraw(third), "withdrawn");
      t.equal(await store.withdraw(second), "lost", "it slept meanwhile");
      t.match(await store.claim(asking(fourth, { mayTake: true })), { kind: "won", taken: "lease_expired" });
      t.equal(await store.withdraw(fourth), "withdrawn");
      for (const lease of [third, second, first]) t.equal(await store.withdraw(lease), "lost");
      t.match(await store.claim(asking(leaseOn(key))), { kind: "inDoubt", cause: "lease_expired", expired: false });
    },
  );
}

export async function doubtContract(each: Each): Promise<void> {
  await each("a stranded record is in doubt, and says how it landed only to those who waited", async (t, _, store) => {
    const causes: DoubtCause[] = ["reset", "timeout", "status", "lease_expired", "lock_lost", "store_lost"];
    for (const cause of causes) {
      const lease = leaseOn(newKey());
      await store.claim(asking(lease));
      t.equal(await store.strand(lease, cause, landed("bad gateway", 502), origin), "stranded");
      const doubt = { kind: "inDoubt", fingerprint: mine, cause, expired: false };
      t.same(await store.claim(asking(leaseOn(lease.key))), doubt);
      t.same(await store.claim(asking(leaseOn(lease.key), { after: hex(8) })), doubt);
      t.same(await store.claim(asking(leaseOn(lease.key), { mayTake: true, fingerprint: other })), doubt);
      const waiter = asking(leaseOn(lease.key), { after: flightOf(lease), mayTake: true });
      sameLanding(t, await store.claim(waiter), landed("bad gateway", 502));
      const view = await store.peek(lease.key, true);
      t.match(view, { state: "in_doubt", cause, status: null, attempts: 1 });
    }
  });

  await each("stranded without a landing, those who waited are told of the doubt", async (t, _, store) => {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    await store.strand(lease, "lock_lost", undefined, origin);
    const doubt = { kind: "inDoubt", fingerprint: mine, cause: "lock_lost", expired: false };
    t.same(await store.claim(asking(leaseOn(lease.key), { after: flightOf(lease) })), doubt);
    await store.strand(lease, "reset", refusal, origin);
    await store.strand(lease, "lock_lost", undefined, origin);
    t.same(await store.claim(asking(leaseOn(lease.key), { after: flightOf(lease) })), doubt, "the last word counts");
  });

  await each("those who wait for the taker are not told how its forerunner landed", async (t, under, store) => {
    const key = newKey();
    const [first, taker] = [await states["in doubt"]!(store, key), leaseOn(key)];
    await store.claim(asking(taker, { mayTake: true }));
    for (const lease of [first, taker]) {
      t.equal((await store.claim(asking(leaseOn(key), { after: flightOf(lease) }))).kind, "held");
    }
    await under.passTime(leaseMs + minute);
    for (const lease of [first, taker]) {
      const claim = await store.claim(asking(leaseOn(key), { after: flightOf(lease) }));
      t.match(claim, { kind: "inDoubt", cause: "lease_expired" });
    }
    await store.strand(taker, "reset", undefined, origin);
    for (const lease of [first, taker]) {
      t.match(await store.claim(asking(leaseOn(key), { after: flightOf(lease) })), { kind: "inDoubt", cause: "reset" });
    }
  });

  await each("of twenty who may take a record in doubt, one does", async (t, _, store) => {
    const key = newKey();
    await states["in doubt"]!(store, key);
    const claims = await Promise.all(
      Array.from({ length: 20 }, () => store.claim(asking(leaseOn(key), { mayTake: true }))),
    );
    t.same(
      claims.filter((claim) => claim.kind === "won"),
      [{ kind: "won", attempts: 2, taken: "timeout" }],
    );
    t.equal(claims.filter((claim) => claim.kind === "held").length, 19);
  });

  await each("a lease that runs out leaves a doubt, and the first claim to find it is told so", async (t, under, s) => {
    const lease = leaseOn(newKey());
    await s.claim(asking(lease));
    await under.passTime(leaseMs + minute);
    t.match(await s.peek(lease.key, false), { state: "in_doubt", cause: "lease_expired" });
    const claims = await Promise.all(Array.from({ length: 10 }, () => s.claim(asking(leaseOn(lease.key)))));
    for (const claim of claims) t.match(claim, { kind: "inDoubt", fingerprint: mine, cause: "lease_expired" });
    t.equal(claims.filter((claim) => claim.kind === "inDoubt" && claim.expired).length, 1);
  });

  await each("a claim that may take a record takes it as its lease runs out", async (t, under, store) => {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    await under.passTime(leaseMs + minute);
    const taker = leaseOn(lease.key);
    const won = await store.claim(asking(taker, { mayTake: true }));
    t.same(won, { kind: "won", attempts: 2, taken: "lease_expired", expired: true });
    t.same(await store.claim(asking(taker)), { kind: "won", attempts: 2, taken: "lease_expired" }, "repeated");
    t.equal((await store.claim(asking(leaseOn(lease.key), { mayTake: true }))).kind, "held");
  });
}
