import type { RecordKey } from "../../src/model.js";
import type { ListQuery, RecordStore } from "../../src/store/record-store.js";
import type { Each } from "./contract.js";
import {
  answer,
  asking,
  hour,
  leaseMs,
  leaseOn,
  mine,
  minute,
  newKey,
  openRetentionMs,
  origin,
  other,
  refusal,
  responseOf,
  retentionMs,
  sameResponse,
  states,
} from "./contract-material.js";

export async function operatorContract(each: Each): Promise<void> {
  await viewContract(each);
  await decisionContract(each);
  await seenContract(each);
  await listContract(each);
  await censusContract(each);
}

async function viewContract(each: Each): Promise<void> {
  await each("a record is shown with all that is known of it", async (t, under, store) => {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    await under.passTime(minute);
    await store.complete(lease, answer("done"), origin);
    const view = (await store.peek(lease.key, false))!;
    const { createdAtMs, updatedAtMs, expiresAtMs, ...rest } = view;
    t.same(rest, {
      key: lease.key,
      route: "pay",
      namespace: "shop",
      keyHash: origin.keyHash,
      state: "completed",
      fingerprint: mine,
      attempts: 1,
      status: 201,
      cause: null,
    });
    t.ok(Math.abs(updatedAtMs - createdAtMs - minute) < minute / 2, "completed a minute after it was claimed");
    t.ok(Math.abs(expiresAtMs - updatedAtMs - retentionMs) < minute, "kept for its retention");
    t.equal(await store.peek(newKey(), true), undefined);
  });

  await each("a record in flight is held beyond its lease for as long as open records are", async (t, _, store) => {
    const lease = await states["in flight"]!(store, newKey());
    const view = (await store.peek(lease.key, true))!;
    t.match(view, { state: "in_flight", status: null, cause: null });
    t.ok(Math.abs(view.expiresAtMs - view.createdAtMs - leaseMs - openRetentionMs) < minute);
  });
}

async function decisionContract(each: Each): Promise<void> {
  await each("a record resolved as done is replayed with the operator's response", async (t, under, store) => {
    const { key } = await states["in doubt"]!(store, newKey());
    const response = responseOf("by hand", 200);
    t.equal(await store.resolve(key, { kind: "done", response, retentionMs: hour }), "resolved");
    const claim = await store.claim(asking(leaseOn(key), { mayTake: true }));
    if (claim.kind !== "done") return t.fail(`the claim was told ${claim.kind}`);
    sameResponse(t, claim.response, response);
    t.equal(await store.resolve(key, { kind: "notDone" }), "notInDoubt", "twice");
    await under.passTime(2 * hour);
    t.equal(await store.peek(key, false), undefined, "kept as long as the operator said");
  });

  await each("a record resolved as not done may run again", async (t, _, store) => {
    const { key } = await states["in doubt"]!(store, newKey());
    t.equal(await store.resolve(key, { kind: "notDone" }), "resolved");
    t.equal(await store.peek(key, false), undefined);
    t.equal(await store.resolve(key, { kind: "notDone" }), "absent");
    t.same(await store.claim(asking(leaseOn(key), { fingerprint: other })), { kind: "won", attempts: 2, taken: null });
  });

  await each("only what is in doubt is resolved", async (t, under, store) => {
    t.equal(await store.resolve(newKey(), { kind: "notDone" }), "absent");
    for (const state of ["in flight", "completed", "not replayable"]) {
      const { key } = await states[state]!(store, newKey());
      const before = await store.peek(key, true);
      t.equal(await store.resolve(key, { kind: "notDone" }), "notInDoubt", state);
      t.same(await store.peek(key, true), before);
    }
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    await under.passTime(leaseMs + minute);
    t.equal(await store.resolve(lease.key, { kind: "notDone" }), "resolved", "a lease that ran out is a doubt");
  });

  await each("a record is forgotten, unless it is in flight", async (t, under, store) => {
    t.equal(await store.forget(newKey()), "absent");
    for (const state of ["completed", "not replayable", "in doubt"]) {
      const { key } = await states[state]!(store, newKey());
      t.equal(await store.forget(key), "forgotten", state);
      t.equal(await store.forget(key), "absent", state);
      t.equal((await store.claim(asking(leaseOn(key), { fingerprint: other }))).kind, "won");
    }
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    const before = await store.peek(lease.key, true);
    t.equal(await store.forget(lease.key), "inFlight");
    t.same(await store.peek(lease.key, true), before);
    await store.release(lease, { landing: refusal, landingMs: hour });
    t.equal(await store.forget(lease.key), "absent", "a released record is none");
    const expired = leaseOn(newKey());
    await store.claim(asking(expired));
    await under.passTime(leaseMs + minute);
    t.equal(await store.forget(expired.key), "forgotten", "a lease that ran out is a doubt");
  });
}

/** A late owner, a taker or another operator may be quicker than the decision. */
async function seenContract(each: Each): Promise<void> {
  await each("a decision on a record that has moved on is refused", async (t, _, store) => {
    const lease = await states["in doubt"]!(store, newKey());
    const { key } = lease;
    const seen = (await store.peek(key, false))!;
    for (const stale of [
      { ...seen, attempts: seen.attempts + 1 },
      { ...seen, updatedAtMs: seen.updatedAtMs - 1 },
      { ...seen, state: "completed" as const },
    ]) {
      t.equal(await store.resolve(key, { kind: "notDone" }, stale), "moved");
      t.equal(await store.forget(key, stale), "moved");
      t.same(await store.peek(key, true), seen, "and nothing changed");
    }
    await store.complete(lease, answer("late"), origin);
    t.equal(await store.resolve(key, { kind: "notDone" }, seen), "moved", "its late owner was quicker");
    t.equal(await store.forget(key, seen), "moved");
    t.equal((await store.peek(key, false))?.state, "completed");
    t.equal(await store.forget(key, (await store.peek(key, false))!), "forgotten");
    t.equal(await store.forget(key, seen), "absent");
    t.equal(await store.resolve(key, { kind: "notDone" }, seen), "absent");
  });

  await each("a decision on the record as it was seen is carried out", async (t, under, store) => {
    const taken = (await states["in doubt"]!(store, newKey())).key;
    const before = (await store.peek(taken, false))!;
    t.equal((await store.claim(asking(leaseOn(taken), { mayTake: true }))).kind, "won");
    t.equal(await store.resolve(taken, { kind: "notDone" }, before), "moved", "somebody runs it again");
    t.equal(await store.forget(taken, (await store.peek(taken, false))!), "inFlight");

    const expired = leaseOn(newKey());
    await store.claim(asking(expired));
    await under.passTime(leaseMs + minute);
    const seen = (await store.peek(expired.key, false))!;
    await store.claim(asking(leaseOn(expired.key)));
    t.same(await store.peek(expired.key, false), seen, "that a lease ran out is written down, and is no change");
    const response = responseOf("by hand", 200);
    t.equal(await store.resolve(expired.key, { kind: "done", response, retentionMs: hour }, seen), "resolved");

    const unseen = leaseOn(newKey());
    await store.claim(asking(unseen));
    await under.passTime(leaseMs + minute);
    t.equal(await store.resolve(unseen.key, { kind: "notDone" }, (await store.peek(unseen.key, false))!), "resolved");
  });
}

async function listContract(each: Each): Promise<void> {
  await each("records are listed newest first, whole or filtered, and released ones are not", async (t, under, s) => {
    const made: Record<string, RecordKey> = {};
    for (const [state, make] of Object.entries(states)) {
      made[state] = newKey();
      await make(s, made[state]);
      await under.passTime(minute / 60);
    }
    const released = leaseOn(newKey());
    await s.claim(asking(released));
    await s.release(released, { landing: refusal, landingMs: hour });
    await s.forget((await states.completed!(s, newKey())).key);
    const elsewhere = leaseOn(newKey());
    await s.claim(asking(elsewhere, { route: "refund", keyHash: "d1".repeat(32) as typeof origin.keyHash }));

    const found = async (query: Partial<ListQuery>) =>
      (await s.list({ limit: 100, ...query })).records.map((view) => view.key);
    const all = [...Object.values(made)];
    t.same(await found({}), [...all, elsewhere.key].reverse());
    t.same(await found({ route: "pay" }), all.toReversed());
    t.same(await found({ keyHash: origin.keyHash }), all.toReversed());
    t.same(await found({ route: "refund", keyHash: origin.keyHash }), []);
    t.same(await found({ idPrefix: made.completed!.slice(0, 20) }), [made.completed]);
    t.same(await found({ idPrefix: made.completed!, state: "in_doubt" }), []);
    t.same(await found({ state: "in_flight" }), [elsewhere.key, made["in flight"]]);
    t.same(await found({ state: "in_flight", route: "pay" }), [made["in flight"]]);
    t.same(await found({ state: "completed" }), [made.completed]);
    t.same(await found({ state: "not_replayable" }), [made["not replayable"]]);
    t.same(await found({ state: "in_doubt" }), [made["in doubt"]]);
    const [listed] = (await s.list({ limit: 1, state: "completed" })).records;
    t.same(listed, await s.peek(made.completed!, false), "as peek shows it");

    await under.passTime(leaseMs + minute);
    t.same(await found({ state: "in_flight" }), [], "leases that ran out are doubts");
    t.same(await found({ state: "in_doubt" }), [elsewhere.key, made["in doubt"], made["in flight"]]);
    await under.passTime(openRetentionMs);
    t.same(await found({}), [], "nothing outlives its retention");
  });

  await each("the cursor walks every record exactly once, while others come and go", async (t, _, store) => {
    const keys = new Set<RecordKey>();
    for (let index = 0; index < 25; index++) {
      const lease = await states[index % 2 === 0 ? "completed" : "in flight"]!(store, newKey());
      keys.add(lease.key);
    }
    const seen = await walk(store, {}, 4, () => states["in flight"]!(store, newKey()));
    t.equal(new Set(seen).size, seen.length, "none twice");
    t.same(new Set(seen.filter((key) => keys.has(key))), keys);
    const open = await walk(store, { state: "in_flight" }, 5);
    t.equal(new Set(open).size, open.length, "none twice");
    t.equal((await store.list({ limit: 1000 })).cursor, null);
  });
}

async function censusContract(each: Each): Promise<void> {
  await each("what is in doubt is counted by route, with the age of the oldest", async (t, under, store) => {
    t.same(await store.census(), []);
    await states["in doubt"]!(store, newKey());
    await under.passTime(hour);
    for (const make of Object.values(states)) await make(store, newKey());
    const elsewhere = leaseOn(newKey());
    await store.claim(asking(elsewhere, { route: "refund" }));
    const counts = async () => [...(await store.census())].sort((a, b) => (a.route < b.route ? -1 : 1));
    const [pay, ...others] = await counts();
    t.same(others, [], "what is in flight is not in doubt");
    t.match(pay, { route: "pay", records: 2 });
    t.ok(pay!.oldestAgeMs >= hour && pay!.oldestAgeMs < hour + minute);
    t.ok(Math.abs(pay!.soonestExpiryMs - (openRetentionMs - hour)) < minute, "and how long the first is still held");

    await under.passTime(leaseMs + minute);
    const both = await counts();
    t.match(both, [
      { route: "pay", records: 3 },
      { route: "refund", records: 1 },
    ]);
    t.ok(both[1]!.oldestAgeMs >= leaseMs && both[1]!.oldestAgeMs < leaseMs + 2 * minute, "since the claim");
    await store.resolve(elsewhere.key, { kind: "notDone" });
    t.match(await counts(), [{ route: "pay", records: 3 }]);
    await under.passTime(openRetentionMs);
    t.same(await store.census(), [], "nothing outlives its retention");
  });
}

/** Follows the cursor to the last page; `between` happens after every page. */
async function walk(
  store: RecordStore,
  query: Partial<ListQuery>,
  limit: number,
  between?: () => Promise<unknown>,
): Promise<RecordKey[]> {
  const found: RecordKey[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < 50; page++) {
    const { records, cursor: next } = await store.list({ ...query, limit, cursor });
    found.push(...records.map((view) => view.key));
    if (records.length > limit) throw new Error("a page is longer than it was asked to be");
    if (next === null) return found;
    cursor = next;
    await between?.();
  }
  throw new Error("the cursor never came to an end");
}
