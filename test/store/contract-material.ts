import { randomBytes } from "node:crypto";
import type { Test } from "tap";
import type { Claim, Fingerprint, Landing, Lease, RecordKey, StoredResponse } from "../../src/model.js";
import type { ClaimRequest, Completion, Origin, RecordStore, RecordView } from "../../src/store/record-store.js";

export const minute = 60_000;
export const hour = 60 * minute;
export const leaseMs = 15 * minute;
export const retentionMs = 24 * hour;
/** How long what is open is held. */
export const openRetentionMs = 72 * hour;

export const hex = (bytes: number) => randomBytes(bytes).toString("hex");
export const newKey = () => hex(32) as RecordKey;
export const leaseOn = (key: RecordKey): Lease => ({ key, token: hex(16) });
export const flightOf = (lease: Lease) => lease.token.slice(0, 16);
export const mine = "f1".repeat(32) as Fingerprint;
export const other = "0e".repeat(32) as Fingerprint;
const keyHash = "c0".repeat(32) as Origin["keyHash"];

export const origin: Origin = {
  fingerprint: mine,
  retentionMs,
  openRetentionMs,
  route: "pay",
  namespace: "shop",
  keyHash,
};

export function asking(lease: Lease, changes: Partial<ClaimRequest> = {}): ClaimRequest {
  return { ...origin, lease, leaseMs, mayTake: false, ...changes };
}

export function responseOf(text: string, status = 201): StoredResponse {
  return { status, reason: "Created", headers: ["Content-Type", "text/plain"], body: Buffer.from(text), trailers: [] };
}

export const answer = (text: string, status?: number): Completion => ({
  kind: "response",
  response: responseOf(text, status),
});

export const landed = (text: string, status?: number): Landing => ({
  kind: "response",
  response: responseOf(text, status),
});

export const refusal: Landing = {
  kind: "problem",
  problem: { code: "upstream-unreachable", detail: "No route to the upstream – “refused”.", retryAfterSeconds: 2 },
};

/** Where an execution was traced. */
export const executedIn = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/** A record in each state, made by the lease it returns. */
export const states: Readonly<Record<string, (store: RecordStore, key: RecordKey) => Promise<Lease>>> = {
  async "in flight"(store, key) {
    const lease = leaseOn(key);
    await store.claim(asking(lease));
    return lease;
  },
  async completed(store, key) {
    const lease = await states["in flight"]!(store, key);
    await store.complete(lease, answer("first"), origin);
    return lease;
  },
  async "not replayable"(store, key) {
    const lease = await states["in flight"]!(store, key);
    await store.complete(lease, { kind: "notReplayable", status: 207, headers: ["A", "b"] }, origin);
    return lease;
  },
  async "in doubt"(store, key) {
    const lease = await states["in flight"]!(store, key);
    await store.strand(lease, "timeout", landed("no answer", 504), origin);
    return lease;
  },
};

/** Instants as distances within the record, so that two stores with different clocks can be compared. */
export function ageless(view: RecordView | undefined) {
  if (view === undefined) return undefined;
  const { createdAtMs, updatedAtMs, expiresAtMs, ...rest } = view;
  return { ...rest, updatedAfterMs: updatedAtMs - createdAtMs, expiresAfterMs: expiresAtMs - updatedAtMs };
}

export function sameResponse(t: Test, found: StoredResponse, wanted: StoredResponse): void {
  t.same(
    { ...found, headers: [...found.headers], trailers: [...found.trailers], body: null },
    { ...wanted, body: null },
    "head and trailers",
  );
  t.ok(found.body.equals(wanted.body), "body, byte for byte");
}

export function sameLanding(t: Test, claim: Claim, wanted: Landing): void {
  if (claim.kind !== "landed") throw new Error(`the claim was told ${claim.kind}`);
  t.equal(claim.fingerprint, mine);
  if (claim.landing.kind === "response" && wanted.kind === "response") {
    sameResponse(t, claim.landing.response, wanted.response);
  } else {
    t.same(claim.landing, wanted);
  }
}
