import t from "tap";
import type { Claim, Fingerprint } from "../../src/model.js";
import { nearCache } from "../../src/store/near-cache.js";
import { type RecordStore, StoreUnavailableError } from "../../src/store/record-store.js";
import { storeContract } from "./contract.js";
import {
  answer,
  asking,
  executedIn,
  hour,
  leaseOn,
  mine,
  minute,
  newKey,
  origin,
  other,
  responseOf,
  retentionMs,
  states,
} from "./contract-material.js";
import { MemoryStore } from "./memory-store.js";

const plenty = 1 << 24;

await storeContract(t, "the near cache", async () => {
  const store = new MemoryStore();
  let passedMs = 0;
  const open = () => nearCache(store, { maxBytes: plenty, now: () => performance.now() + passedMs });
  return {
    store: open(),
    passTime(ms) {
      passedMs += ms;
      store.passTime(ms);
    },
    another: async () => open(),
    close: async () => {},
  };
});

/** A cache by hand: a clock that stands still, and a store that counts the claims it is asked. */
function underHand({ maxBytes = plenty }: { maxBytes?: number } = {}) {
  const memory = new MemoryStore();
  let nowMs = 5_000;
  const asked: string[] = [];
  const counting: RecordStore = Object.create(memory, {
    claim: {
      value(request: Parameters<RecordStore["claim"]>[0]) {
        asked.push(request.lease.key);
        return memory.claim(request);
      },
    },
  });
  for (const verb of ["complete", "strand", "release", "withdraw", "extend", "forget", "resolve", "peek"] as const) {
    Object.defineProperty(counting, verb, { value: memory[verb].bind(memory) });
  }
  const cache = nearCache(counting, { maxBytes, now: () => nowMs });
  const pass = (ms: number) => {
    nowMs += ms;
    memory.passTime(ms);
  };
  return { memory, cache, asked, pass, counting, now: () => nowMs };
}

async function kindOf(claim: Promise<Claim>): Promise<Claim["kind"]> {
  return (await claim).kind;
}

t.test("a hot replay asks the store once, and grows older all the same", async (t) => {
  const { memory, cache, asked, pass } = underHand();
  const { key } = await states.completed!(memory, newKey());
  pass(minute);
  const first = await cache.claim(asking(leaseOn(key)));
  pass(899);
  const second = await cache.claim(asking(leaseOn(key)));
  t.equal(asked.length, 1);
  if (first.kind !== "done" || second.kind !== "done") return t.fail("no replay");
  t.equal(second.ageMs, first.ageMs + 899);
  t.ok(second.response.body.equals(first.response.body));
  t.equal(second.fingerprint, mine);
});

t.test("another fingerprint is told the stored one, so that it is refused as ever", async (t) => {
  const { memory, cache, asked } = underHand();
  const { key } = await states.completed!(memory, newKey());
  await cache.claim(asking(leaseOn(key)));
  const claim = await cache.claim(asking(leaseOn(key), { fingerprint: other as Fingerprint }));
  t.match(claim, { kind: "done", fingerprint: mine });
  t.equal(asked.length, 1);
});

t.test("what this process completed, or could not keep, is known once it was asked for", async (t) => {
  const { cache, asked } = underHand();
  const [done, streamed] = [await states.completed!(cache, newKey()), await states["not replayable"]!(cache, newKey())];
  for (const { key } of [done, streamed]) await cache.claim(asking(leaseOn(key)));
  const before = asked.length;
  t.match(await cache.claim(asking(leaseOn(done.key))), { kind: "done", fingerprint: mine, ageMs: 0 });
  t.same(await cache.claim(asking(leaseOn(streamed.key))), { kind: "notReplayable", fingerprint: mine, status: 207 });
  t.equal(asked.length, before);
});

t.test("what another process deleted is served for less than a second", async (t) => {
  const { memory, cache, pass } = underHand();
  const { key } = await states.completed!(memory, newKey());
  await cache.claim(asking(leaseOn(key)));
  await memory.forget(key);
  t.equal(await kindOf(cache.claim(asking(leaseOn(key)))), "done", "not known yet");
  for (let turn = 0; turn < 9; turn++) {
    pass(100);
    if (turn < 8) await cache.claim(asking(leaseOn(key)));
  }
  t.equal(await kindOf(cache.claim(asking(leaseOn(key)))), "won", "being asked for does not keep it");
});

t.test("time counts from when the store was asked, not from when it answered", async (t) => {
  const { memory, counting, pass, now } = underHand();
  const { key } = await states.completed!(memory, newKey());
  let asked = 0;
  const slow: RecordStore = Object.create(counting, {
    claim: {
      async value(request: Parameters<RecordStore["claim"]>[0]) {
        asked += 1;
        const claim = await memory.claim(request);
        pass(500);
        return claim;
      },
    },
  });
  const cache = nearCache(slow, { maxBytes: plenty, now });
  await cache.claim(asking(leaseOn(key)));
  pass(399);
  await cache.claim(asking(leaseOn(key)));
  t.equal(asked, 1);
  pass(1);
  await cache.claim(asking(leaseOn(key)));
  t.equal(asked, 2);
});

t.test("what an operator does through this process is seen at once, whatever was under way", async (t) => {
  const { memory, counting } = underHand();
  const { key } = await states.completed!(memory, newKey());
  let arrive = () => {};
  const slow: RecordStore = Object.create(counting, {
    claim: {
      async value(request: Parameters<RecordStore["claim"]>[0]) {
        const claim = await memory.claim(request);
        await new Promise<void>((resolve) => {
          arrive = resolve;
        });
        return claim;
      },
    },
  });
  const cache = nearCache(slow, { maxBytes: plenty, now: () => 0 });
  const early = cache.claim(asking(leaseOn(key)));
  await Promise.resolve();
  t.equal(await cache.forget(key), "forgotten");
  arrive();
  t.equal(await kindOf(early), "done", "it was asked before");
  const late = cache.claim(asking(leaseOn(key)));
  await Promise.resolve();
  arrive();
  t.equal(await kindOf(late), "won");
});

t.test("nothing is kept beyond what is known of its retention", async (t) => {
  const { memory, cache, asked, pass } = underHand();
  const { key } = await states.completed!(memory, newKey());
  pass(retentionMs - 500);
  await cache.claim(asking(leaseOn(key)));
  await cache.claim(asking(leaseOn(key)));
  t.equal(asked.length, 2);
  const brief = leaseOn(newKey());
  await cache.claim(asking(brief));
  await cache.complete(brief, answer("gone soon"), { ...origin, retentionMs: 500 });
  pass(501);
  t.equal(await kindOf(cache.claim(asking(leaseOn(brief.key)))), "won");
});

t.test("only the first completion is what a record says", async (t) => {
  const { cache, pass } = underHand();
  const lease = await states.completed!(cache, newKey());
  pass(hour);
  t.equal(await cache.complete({ ...lease }, answer("second"), origin), "stored");
  const claim = await cache.claim(asking(leaseOn(lease.key)));
  t.equal(claim.kind === "done" && claim.response.body.toString(), "first");
});

t.test("a completion whose answer was lost is not kept", async (t) => {
  const { memory, counting, now } = underHand();
  const failing: RecordStore = Object.create(counting, {
    complete: { value: () => Promise.reject(new StoreUnavailableError("complete", true)) },
  });
  const cache = nearCache(failing, { maxBytes: plenty, now });
  const lease = leaseOn(newKey());
  await cache.claim(asking(lease));
  await t.rejects(cache.complete(lease, answer("unseen"), origin), StoreUnavailableError);
  t.equal(await kindOf(cache.claim(asking(leaseOn(lease.key)))), "held");
  t.equal((await memory.peek(lease.key, false))?.state, "in_flight");
});

t.test("what is kept is a copy: who got a body from the store may write over it", async (t) => {
  const { cache, memory, asked } = underHand();
  const { key } = await states.completed!(memory, newKey());
  const got = await cache.claim(asking(leaseOn(key)));
  if (got.kind !== "done") return t.fail("no replay");
  got.response.body.fill(0);
  const again = await cache.claim(asking(leaseOn(key)));
  t.equal(again.kind === "done" && again.response.body.toString(), "first");
  t.equal(asked.length, 1);
});

t.test("whose execution it was is said again with the answer", async (t) => {
  const { cache, asked } = underHand();
  const lease = leaseOn(newKey());
  await cache.claim(asking(lease));
  await cache.complete(lease, { kind: "response", response: { ...responseOf("x"), executedIn } }, origin);
  await cache.claim(asking(leaseOn(lease.key)));
  asked.length = 0;
  const claim = await cache.claim(asking(leaseOn(lease.key)));
  t.equal(claim.kind === "done" && claim.response.executedIn, executedIn);
  t.same(asked, []);
});

t.test("a head is said again as it was, whatever its fields hold", async (t) => {
  const { cache, asked } = underHand();
  for (const headers of [["A", "b\nc"], ["A", "b", "C", ""], []]) {
    const lease = leaseOn(newKey());
    await cache.claim(asking(lease));
    await cache.complete(
      lease,
      { kind: "response", response: { ...responseOf("x"), headers, trailers: headers } },
      origin,
    );
    await cache.claim(asking(leaseOn(lease.key)));
    asked.length = 0;
    const claim = await cache.claim(asking(leaseOn(lease.key)));
    t.same(claim.kind === "done" && [claim.response.headers, claim.response.trailers], [headers, headers]);
    t.same(asked, []);
  }
});

t.test("it is bounded in bytes, and what was asked for stays the longest", async (t) => {
  const body = Buffer.alloc(10_000);
  const { memory, cache, asked } = underHand({ maxBytes: 10 * 11_000 });
  const keys = [];
  for (let count = 0; count < 30; count++) {
    const lease = leaseOn(newKey());
    keys.push(lease.key);
    await memory.claim(asking(lease));
    await memory.complete(lease, { kind: "response", response: { ...responseOf(""), body } }, origin);
    await cache.claim(asking(leaseOn(lease.key)));
    await cache.claim(asking(leaseOn(keys[0]!)));
  }
  t.equal(asked.length, 30, "the hot one was never asked for again");
  asked.length = 0;
  for (const key of keys.slice(-9).reverse()) await cache.claim(asking(leaseOn(key)));
  t.equal(asked.length, 0, "the latest are there");
  asked.length = 0;
  for (const key of keys.slice(1, 15)) await cache.claim(asking(leaseOn(key)));
  t.equal(asked.length, 14, "of the others none");

  const huge = leaseOn(newKey());
  await cache.claim(asking(huge));
  await cache.complete(
    huge,
    { kind: "response", response: { ...responseOf(""), body: Buffer.alloc(200_000) } },
    origin,
  );
  await cache.claim(asking(leaseOn(huge.key)));
  asked.length = 0;
  await cache.claim(asking(leaseOn(huge.key)));
  t.equal(asked.length, 1, "what is larger than all of it is not kept");
});
