import type { Claim, DoubtCause, Landing, Lease, RecordKey } from "../model.js";
import { freshMs, KnownAnswers } from "./known-answers.js";
import type { Final } from "./packed-answers.js";
import type {
  ClaimRequest,
  Completion,
  ListQuery,
  Origin,
  RecordStore,
  Resolution,
  Seen,
  Swept,
} from "./record-store.js";

export interface NearCacheOptions {
  /** What the answers kept may take in memory, about. */
  readonly maxBytes: number;
  /** Monotonic, ms. */
  readonly now?: () => number;
}

/**
 * The same store, but what it said of a finished record is said again for a moment without asking: a hot replay costs
 * no round trip. Only what cannot change any more is kept, so what may be out of date is a record that another process
 * deleted, or whose retention ended, less than a second ago.
 */
export function nearCache(store: RecordStore, options: NearCacheOptions): RecordStore {
  return new NearCache(store, new KnownAnswers(options.maxBytes, options.now ?? (() => performance.now())));
}

class NearCache implements RecordStore {
  readonly withdrawAfterMs: number;
  /** Counts what operators change through here: an answer that was under way meanwhile is not kept. */
  #changes = 0;

  constructor(
    private readonly store: RecordStore,
    private readonly known: KnownAnswers,
  ) {
    this.withdrawAfterMs = store.withdrawAfterMs;
  }

  recall(key: RecordKey): Final | undefined {
    return this.known.recall(key);
  }

  claim(request: ClaimRequest): Promise<Claim> {
    const claim = this.known.recall(request.lease.key);
    return claim === undefined ? this.#ask(request) : Promise.resolve(claim);
  }

  #ask(request: ClaimRequest): Promise<Claim> {
    const { key } = request.lease;
    const [changes, askedAtMs] = [this.#changes, this.known.now()];
    return this.store.claim(request).then((claim) => {
      if (claim.kind === "done" || claim.kind === "notReplayable") {
        const mayEndSoon = claim.kind === "done" && claim.remainingMs < freshMs;
        if (changes === this.#changes && !mayEndSoon) this.known.keep(key, claim, askedAtMs);
      } else {
        this.known.drop(key);
      }
      return claim;
    });
  }

  /** Not kept: most requests are never sent again, and what lives for a second is dear to the garbage collector. */
  complete(lease: Lease, completion: Completion, origin: Origin): Promise<"stored" | "lost"> {
    this.known.drop(lease.key);
    return this.store.complete(lease, completion, origin);
  }

  extend(lease: Lease, leaseMs: number, openRetentionMs: number): Promise<"kept" | "lost"> {
    return this.store.extend(lease, leaseMs, openRetentionMs);
  }

  withdraw(lease: Lease): Promise<"withdrawn" | "lost"> {
    this.known.drop(lease.key);
    return this.store.withdraw(lease);
  }

  release(
    lease: Lease,
    landed?: { readonly landing: Landing; readonly landingMs: number },
  ): Promise<"released" | "lost"> {
    this.known.drop(lease.key);
    return this.store.release(lease, landed);
  }

  strand(lease: Lease, cause: DoubtCause, landing: Landing | undefined, origin: Origin): Promise<"stranded" | "lost"> {
    this.known.drop(lease.key);
    return this.store.strand(lease, cause, landing, origin);
  }

  sweep(limit: number): Promise<readonly Swept[]> {
    return this.store.sweep(limit);
  }

  forget(key: RecordKey, seen?: Seen) {
    return this.#change(key, () => this.store.forget(key, seen));
  }

  resolve(key: RecordKey, resolution: Resolution, seen?: Seen) {
    return this.#change(key, () => this.store.resolve(key, resolution, seen));
  }

  peek(key: RecordKey, withResponse: boolean) {
    return this.store.peek(key, withResponse);
  }

  list(query: ListQuery) {
    return this.store.list(query);
  }

  census() {
    return this.store.census();
  }

  watch(key: RecordKey, wake: () => void): () => void {
    return this.store.watch(key, wake);
  }

  ping(): Promise<void> {
    return this.store.ping();
  }

  close(): Promise<void> {
    this.known.clear();
    return this.store.close();
  }

  /** Before and after: an answer given before the change may arrive while it is made. */
  async #change<T>(key: RecordKey, change: () => Promise<T>): Promise<T> {
    this.#changes += 1;
    this.known.drop(key);
    try {
      return await change();
    } finally {
      this.#changes += 1;
      this.known.drop(key);
    }
  }
}
