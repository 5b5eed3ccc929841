import type {
  Claim,
  DoubtCause,
  Fingerprint,
  FlightId,
  HeaderPairs,
  KeyHash,
  Landing,
  Lease,
  RecordKey,
  RecordState,
  StoredResponse,
} from "../model.js";
import type { Trace } from "../trace.js";

/** One atomic question: may this caller run the request? */
export interface ClaimRequest {
  /** Made by the caller before it asks, so that a claim whose answer was lost can be withdrawn by its token. */
  readonly lease: Lease;
  readonly fingerprint: Fingerprint;
  readonly leaseMs: number;
  /** How long the record outlives its lease while it is open (in flight or in doubt), ms. */
  readonly openRetentionMs: number;
  /** Whether a record in doubt may be taken over (`inDoubt: retry` and `probe`). Needs an equal fingerprint. */
  readonly mayTake: boolean;
  /** The flight this caller waited for: if it released or stranded the record, the answer is `landed`, once asked. */
  readonly after?: FlightId | undefined;
  /** For the admin view only. */
  readonly route: string;
  readonly namespace: string;
  readonly keyHash: KeyHash;
  /** Where tracing is on; nothing of it is stored. */
  readonly trace?: Trace | undefined;
}

/** What an owner leaves behind when its request was answered for good. */
export type Completion =
  | { readonly kind: "response"; readonly response: StoredResponse }
  | { readonly kind: "notReplayable"; readonly status: number; readonly headers: HeaderPairs };

/** What `complete` and `strand` need besides the lease: a record that is gone and unclaimed is written again from this. */
export interface Origin {
  readonly fingerprint: Fingerprint;
  /** How long a response is kept, from the end of its request, ms. */
  readonly retentionMs: number;
  /** How long a doubt is held, from the end of its request, ms. Never less than `retentionMs`. */
  readonly openRetentionMs: number;
  readonly route: string;
  readonly namespace: string;
  readonly keyHash: KeyHash;
}

/** A record as the operator sees it. Instants are milliseconds since the epoch by the store's clock. */
export interface RecordView {
  readonly key: RecordKey;
  readonly route: string;
  readonly namespace: string;
  readonly keyHash: KeyHash;
  readonly state: RecordState;
  readonly fingerprint: Fingerprint;
  readonly attempts: number;
  readonly status: number | null;
  readonly cause: DoubtCause | null;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  readonly expiresAtMs: number;
  /** Only when `peek` was asked for it and there is one. */
  readonly response?: StoredResponse;
}

/** The record an operator decided on: a write that names it is refused (`moved`) once the record is another one. */
export type Seen = Pick<RecordView, "state" | "attempts" | "updatedAtMs">;

export interface ListQuery {
  readonly route?: string | undefined;
  readonly state?: RecordState | undefined;
  /** Only records of this idempotency key, whatever their scope and namespace. Found by scanning, no index needed. */
  readonly keyHash?: KeyHash | undefined;
  /** Only records whose id begins with these digits, lower case. */
  readonly idPrefix?: string | undefined;
  /** 1 to 1000. */
  readonly limit: number;
  /** As returned with the page before; opaque. */
  readonly cursor?: string | undefined;
}

export interface ListPage {
  /** Newest first, by creation. */
  readonly records: RecordView[];
  /** `null` on the last page. */
  readonly cursor: string | null;
}

/** Records of one route that are in doubt. */
export interface DoubtCount {
  readonly route: string;
  readonly records: number;
  /** Since its first claim. */
  readonly oldestAgeMs: number;
  /** Until the first of them is forgotten, at least 0. */
  readonly soonestExpiryMs: number;
}

/** A record whose lease ran out, and which the sweep turned into a doubt. */
export interface Swept {
  readonly key: RecordKey;
  readonly route: string;
}

/** An operator's decision on a record in doubt. */
export type Resolution =
  | { readonly kind: "done"; readonly response: StoredResponse; readonly retentionMs: number }
  | { readonly kind: "notDone" };

/**
 * The store could not be asked, or did not answer in time. `mayHaveRun` tells whether the command may have been
 * carried out unseen (or may still be): then a claim has to be withdrawn.
 */
export class StoreUnavailableError extends Error {
  override readonly name = "StoreUnavailableError";
  constructor(
    readonly operation: string,
    readonly mayHaveRun: boolean,
    options?: ErrorOptions,
  ) {
    super(`the store did not answer "${operation}"`, options);
  }
}

/**
 * Where records live. Obligations, held by the contract suite in `test/store/contract.ts`:
 *
 * - Exactly one of any number of concurrent claims wins. Losers learn the stored fingerprint and change nothing.
 * - Every writing verb compares the lease's token inside the same atomic step, and says `lost` when it does not match.
 * - A lease that runs out turns the record in doubt (`lease_expired`); nothing but `release`, `resolve` and `forget`
 *   makes a key free before its retention ends. What is open is held for `openRetentionMs` beyond its lease, a record
 *   that was stranded for `openRetentionMs` from then. A claim or an extension never shortens how long it is held.
 * - A clock that steps, the host's or the server's, forgets nothing that is open.
 * - Of each lease that ran out exactly one call is told, in one process: a claim (`expired`) or a sweep.
 * - A record of a version that this code does not know is refused by every verb with an `Error`, and stays as it is.
 * - A late owner may complete, strand or release its record while nobody has taken it over, and is told `lost` after.
 * - A write that was acknowledged survives the death of this process, and of the store's if it is configured so.
 * - A write that is refused changes nothing.
 * - Every verb rejects with `StoreUnavailableError` when the store cannot be reached, and only then.
 */
export interface RecordStore {
  /**
   * Won → in flight. A released or expired record is as good as none, but its attempts are counted on.
   * A claim repeated with the same token and fingerprint while its lease lasts wins again (a resend meets itself), and
   * the lease begins anew. `after` is looked at before `mayTake`.
   * A claim is never carried out later than `ClaimRequest` allows: one whose answer the caller gave up waiting for
   * either happened already or never will, once `withdrawAfterMs` has passed.
   */
  claim(request: ClaimRequest): Promise<Claim>;

  /**
   * What this process knows of the record without asking, where that cannot change any more: what `claim` would say.
   * Only a near cache has it.
   */
  recall?(key: RecordKey): Extract<Claim, { kind: "done" | "notReplayable" }> | undefined;

  /** After this time a claim that went unanswered can no longer be carried out, ms. A withdrawal is repeated then. */
  readonly withdrawAfterMs: number;

  /** In flight, token equal and lease not over → the lease is `leaseMs` from now. Else `lost`: never re-taken. */
  extend(lease: Lease, leaseMs: number, openRetentionMs: number): Promise<"kept" | "lost">;

  /**
   * In flight, or in doubt and not taken over, token equal → completed (or not replayable), kept for `retentionMs`
   * from now. No record at all → written again: no other claim came since. Repeated with the same token: `stored`.
   * A released record is no longer its owner's: `lost`.
   */
  complete(lease: Lease, completion: Completion, origin: Origin): Promise<"stored" | "lost">;

  /**
   * Undoes a claim for which nothing was sent. In flight or in doubt, token equal → as before the claim: free, or, where
   * it was taken over from doubt, in doubt again with the cause it had, and held for as long as it is held now.
   * No record → `withdrawn`, nothing written.
   */
  withdraw(lease: Lease): Promise<"withdrawn" | "lost">;

  /**
   * In flight or in doubt, token equal → free. `landing`, where given, is kept for those who waited (`after`), for
   * `landingMs` at most and until the next claim; such a record is not listed and does not count as one.
   * No record → `released`, nothing written.
   */
  release(
    lease: Lease,
    landing?: { readonly landing: Landing; readonly landingMs: number },
  ): Promise<"released" | "lost">;

  /**
   * In flight or in doubt, token equal → in doubt, held for `openRetentionMs` from now. `landing` is for those who
   * waited; a later claim is told `inDoubt`. No record at all → written again, in doubt, as `complete` does.
   */
  strand(lease: Lease, cause: DoubtCause, landing: Landing | undefined, origin: Origin): Promise<"stranded" | "lost">;

  /**
   * Turns up to `limit` records whose lease ran out into doubts (`lease_expired`), and returns them. All else of them
   * stays: a late owner may complete, strand or release its record as before. Costs what has run out, not what is open.
   */
  sweep(limit: number): Promise<readonly Swept[]>;

  /** Records whose lease is over are shown in doubt. `undefined`: no such record (a released one is none). */
  peek(key: RecordKey, withResponse: boolean): Promise<RecordView | undefined>;

  list(query: ListQuery): Promise<ListPage>;

  /**
   * Counts what is in doubt, leases that ran out included; a route without any is left out. Costs what is open, not what
   * is stored, and no more than some ten thousand records of it: beyond that the counts are lower bounds.
   */
  census(): Promise<readonly DoubtCount[]>;

  /** As good as gone: the former owner's token is void from here on. `seen` is compared inside the same atomic step. */
  forget(key: RecordKey, seen?: Seen): Promise<"forgotten" | "absent" | "inFlight" | "moved">;

  /**
   * In doubt → completed with the operator's response, or free. The former owner's token is void from here on.
   * `seen` as with `forget`.
   */
  resolve(key: RecordKey, resolution: Resolution, seen?: Seen): Promise<"resolved" | "absent" | "notInDoubt" | "moved">;

  /**
   * Calls `wake` when the record may have changed, in this process or another. A hint and no more: it may come too
   * often, late or never, so the caller claims again on its own clock too. Returns the way to stop.
   */
  watch(key: RecordKey, wake: () => void): () => void;

  /** Resolves when the store answers. */
  ping(): Promise<void>;

  close(): Promise<void>;
}
