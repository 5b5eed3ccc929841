import { randomBytes } from "node:crypto";
import type { StoredResponse } from "../../src/model.js";
import type { Each } from "./contract.js";
import {
  answer,
  asking,
  executedIn,
  flightOf,
  leaseMs,
  leaseOn,
  mine,
  minute,
  newKey,
  origin,
  other,
  responseOf,
  sameResponse,
  states,
} from "./contract-material.js";

export async function claimContract(each: Each): Promise<void> {
  await each("of a hundred claimants one wins, and the others learn whose it is", async (t, _, store) => {
    const key = newKey();
    const leases = Array.from({ length: 100 }, () => leaseOn(key));
    const claims = await Promise.all(leases.map((lease) => store.claim(asking(lease))));
    const winner = claims.findIndex((claim) => claim.kind === "won");
    t.same(claims[winner], { kind: "won", attempts: 1, taken: null });
    for (const [index, claim] of claims.entries()) {
      if (index === winner) continue;
      if (claim.kind !== "held") return t.fail(`claimant ${index} was told ${claim.kind}`);
      t.equal(claim.flight, flightOf(leases[winner]!));
      t.equal(claim.fingerprint, mine);
      t.ok(claim.remainingMs > leaseMs - minute && claim.remainingMs <= leaseMs);
    }
  });

  for (const [state, make] of Object.entries(states)) {
    await each(`another fingerprint is reported and never overwrites a record ${state}`, async (t, _, store) => {
      const key = newKey();
      await make(store, key);
      const before = await store.peek(key, true);
      for (const mayTake of [false, true]) {
        const claim = await store.claim(asking(leaseOn(key), { fingerprint: other, mayTake, route: "else" }));
        if (claim.kind === "won") return t.fail("another request won the record");
        t.equal(claim.fingerprint, mine);
      }
      t.same(await store.peek(key, true), before);
    });
  }

  await each("a claim repeated with its token meets itself, and nobody else's", async (t, _, store) => {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    t.same(await store.claim(asking(lease)), { kind: "won", attempts: 1, taken: null });
    t.equal((await store.claim(asking(lease, { fingerprint: other }))).kind, "held");
    await store.complete(lease, answer("x"), origin);
    t.equal((await store.claim(asking(lease))).kind, "done");
  });

  await each("two keys never touch", async (t, _, store) => {
    const [a, b] = [leaseOn(newKey()), leaseOn(newKey())];
    await store.claim(asking(a));
    t.equal((await store.claim(asking(b, { fingerprint: other }))).kind, "won");
    await store.complete(a, answer("a"), origin);
    t.equal((await store.peek(b.key, true))?.state, "in_flight");
    t.equal(await store.complete({ key: b.key, token: a.token }, answer("a"), origin), "lost");
    t.equal(await store.release(b), "released");
    t.equal((await store.peek(a.key, true))?.state, "completed");
  });
}

export async function responseContract(each: Each): Promise<void> {
  const octets = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const responses: Record<string, StoredResponse> = {
    "status, reason, repeated headers, binary body and trailers": {
      status: 418,
      reason: "I\u00b4m a teapot",
      headers: ["Set-Cookie", "a=1", "X-É", "caf\u00e9 \u00ff", "set-cookie", "b=2", "Empty", ""],
      body: octets,
      trailers: ["Digest", "x", "digest", "y"],
    },
    "a traced answer": { ...responseOf("traced"), executedIn },
    "an empty answer": { status: 204, reason: "", headers: [], body: Buffer.alloc(0), trailers: [] },
    "a body of 1 MiB": {
      status: 200,
      reason: "OK",
      headers: ["Content-Length", "1048576"],
      body: randomBytes(1 << 20),
      trailers: [],
    },
  };
  for (const [what, response] of Object.entries(responses)) {
    await each(`${what} comes back as it was`, async (t, _, store) => {
      const lease = leaseOn(newKey());
      await store.claim(asking(lease));
      t.equal(await store.complete(lease, { kind: "response", response }, origin), "stored");
      const claim = await store.claim(asking(leaseOn(lease.key)));
      if (claim.kind !== "done") return t.fail(`the claim was told ${claim.kind}`);
      sameResponse(t, claim.response, response);
      t.equal(claim.fingerprint, mine);
      t.ok(claim.ageMs >= 0 && claim.ageMs < minute);
      sameResponse(t, (await store.peek(lease.key, true))!.response!, response);
      t.equal((await store.peek(lease.key, false))!.response, undefined);
    });
  }

  await each("a response that was not kept is remembered as such", async (t, _, store) => {
    const key = newKey();
    await states["not replayable"]!(store, key);
    t.same(await store.claim(asking(leaseOn(key), { mayTake: true })), {
      kind: "notReplayable",
      fingerprint: mine,
      status: 207,
    });
    t.equal((await store.peek(key, true))?.status, 207);
  });
}
