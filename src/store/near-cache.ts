import type { Claim, DoubtCause, Landing, Lease, RecordKey } from "../model.js";
import { type Final, freshMs, KnownAnswers } from "./known-answers.js";
import type { ClaimRequest, Completion, ListQuery, Origin, RecordStore, Resolution, Seen } from "./record-store.js";

export interface NearCacheOptions {
  /** What the answers kept may take in memory, about. */
  readonly maxBytes: number;
  /** Monotonic, ms. */
  readonly now?: () => number;
}

/** More executions than this do not run in one process; the end of one forgotten beyond it is only not kept. */
const mostRunning = 100_000;

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
  /** The claims won here, until their owner writes: of several completions only the first is what the record says. */
  readonly #running = new Map<RecordKey, ClaimRequest>();
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

  async #ask(request: ClaimRequest): Promise<Claim> {
    const { key } = request.lease;
    const [changes, askedAtMs] = [this.#changes, this.known.now()];
    const claim = await this.store.claim(request);
    if (claim.kind === "done" || claim.kind === "notReplayable") {
      const mayEndSoon = claim.kind === "done" && claim.ageMs + freshMs > request.retentionMs;
      if (changes === this.#changes && !mayEndSoon) this.known.keep(key, claim, askedAtMs);
      return claim;
    }
    this.known.drop(key);
    if (claim.kind === "won") this.#remember(request);
    return claim;
  }

  #remember(request: ClaimRequest): void {
    this.#running.set(request.lease.key, request);
    if (this.#running.size <= mostRunning) return;
    const [oldest] = this.#running.keys();
    this.#running.delete(oldest!);
  }

  async complete(lease: Lease, completion: Completion, origin: Origin): Promise<"stored" | "lost"> {
    const { key } = lease;
    const won = this.#running.get(key);
    this.#write(key);
    const [changes, askedAtMs] = [this.#changes, this.known.now()];
    const answer = await this.store.complete(lease, completion, origin);
    const { fingerprint } = origin;
    const isFirst = won?.lease.token === lease.token && won.fingerprint === fingerprint;
    if (answer === "lost" || !isFirst || changes !== this.#changes || origin.retentionMs <= freshMs) return answer;
    const claim: Final =
      completion.kind === "response"
        ? { kind: "done", fingerprint, response: completion.response, ageMs: 0 }
        : { kind: "notReplayable", fingerprint, status: completion.status };
    this.known.keep(key, claim, askedAtMs);
    return answer;
  }

  extend(lease: Lease, leaseMs: number, retentionMs: number): Promise<"kept" | "lost"> {
    return this.store.extend(lease, leaseMs, retentionMs);
  }

  withdraw(lease: Lease): Promise<"withdrawn" | "lost"> {
    this.#write(lease.key);
    return this.store.withdraw(lease);
  }

  release(
    lease: Lease,
    landed?: { readonly landing: Landing; readonly landingMs: number },
  ): Promise<"released" | "lost"> {
    this.#write(lease.key);
    return this.store.release(lease, landed);
  }

  strand(
    lease: Lease,
    cause: DoubtCause,
    landing: Landing | undefined,
    retentionMs: number,
  ): Promise<"stranded" | "lost"> {
    this.#write(lease.key);
    return this.store.strand(lease, cause, landing, retentionMs);
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

  #write(key: RecordKey): void {
    this.known.drop(key);
    this.#running.delete(key);
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
