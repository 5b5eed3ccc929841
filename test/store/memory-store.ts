import type {
  Claim,
  DoubtCause,
  Fingerprint,
  FlightId,
  KeyHash,
  Landing,
  Lease,
  RecordKey,
  RecordState,
} from "../../src/model.js";
import type {
  ClaimRequest,
  Completion,
  DoubtCount,
  ListPage,
  ListQuery,
  Origin,
  RecordStore,
  RecordView,
  Resolution,
  Seen,
  Swept,
} from "../../src/store/record-store.js";

export interface Entry {
  state: RecordState | "free";
  /** `""`: void, nobody can write with it. */
  token: string;
  fingerprint: Fingerprint;
  attempts: number;
  createdAtMs: number;
  updatedAtMs: number;
  expiresAtMs: number;
  leaseEndsAtMs: number;
  cause: DoubtCause | null;
  /** Why the record was in doubt when it was taken over, and whose it was: what a withdrawal puts back. */
  before: { readonly token: string; readonly cause: DoubtCause } | null;
  landing: Landing | null;
  completion: Completion | null;
  route: string;
  namespace: string;
  keyHash: KeyHash;
}

/** Where a flight in doubt had taken a doubt over itself: its own withdrawal must not end the older doubt. */
const nobody = "00".repeat(16);

/**
 * The reference: every other store must answer as this one does. Nothing in it awaits, so each verb is atomic, and its
 * clock moves only when it is told to.
 */
export class MemoryStore implements RecordStore {
  readonly withdrawAfterMs = 0;
  readonly #entries = new Map<RecordKey, Entry>();
  readonly #watchers = new Map<RecordKey, Set<() => void>>();
  #nowMs = 1_700_000_000_000;

  passTime(ms: number): void {
    this.#nowMs += ms;
  }

  /** For a search that tries many futures from one present: a copy of what it holds under a key, and the way back. */
  copy(key: RecordKey): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry && { ...entry };
  }

  become(key: RecordKey, entry: Readonly<Entry> | undefined, nowMs: number): void {
    this.#nowMs = nowMs;
    if (entry === undefined) this.#entries.delete(key);
    else this.#entries.set(key, { ...entry });
  }

  async claim(request: ClaimRequest): Promise<Claim> {
    const entry = this.#find(request.lease.key);
    if (entry === undefined) return this.#take(request, undefined);
    const { fingerprint } = entry;
    const isOver = entry.state === "free" || entry.state === "in_doubt";
    if (isOver && entry.landing !== null && flightOf(entry.token) === request.after) {
      return { kind: "landed", fingerprint, landing: entry.landing };
    }
    if (entry.state === "free") return this.#take(request, entry);
    if (entry.completion?.kind === "response") {
      return {
        kind: "done",
        fingerprint,
        response: entry.completion.response,
        ageMs: this.#nowMs - entry.updatedAtMs,
        remainingMs: entry.expiresAtMs - this.#nowMs,
      };
    }
    if (entry.completion?.kind === "notReplayable") {
      return { kind: "notReplayable", fingerprint, status: entry.completion.status };
    }
    if (entry.state === "in_flight" && this.#nowMs < entry.leaseEndsAtMs) {
      if (entry.token === request.lease.token && fingerprint === request.fingerprint) {
        this.#hold(entry, request.leaseMs, request.openRetentionMs);
        return { kind: "won", attempts: entry.attempts, taken: entry.before?.cause ?? null };
      }
      const remainingMs = entry.leaseEndsAtMs - this.#nowMs;
      return { kind: "held", fingerprint, flight: flightOf(entry.token), remainingMs };
    }
    const expired = entry.state === "in_flight";
    if (expired) this.#expire(entry);
    const cause = entry.cause!;
    if (request.mayTake && fingerprint === request.fingerprint) {
      return { ...this.#take(request, entry), taken: cause, ...(expired ? { expired } : {}) };
    }
    return { kind: "inDoubt", fingerprint, cause, expired };
  }

  #take(request: ClaimRequest, old: Entry | undefined): Claim & { kind: "won" } {
    const leaseEndsAtMs = this.#nowMs + request.leaseMs;
    const wasInDoubt = old?.state === "in_doubt";
    const entry: Entry = {
      state: "in_flight",
      token: request.lease.token,
      fingerprint: request.fingerprint,
      attempts: (old?.attempts ?? 0) + 1,
      createdAtMs: wasInDoubt ? old.createdAtMs : this.#nowMs,
      updatedAtMs: this.#nowMs,
      expiresAtMs: Math.max(wasInDoubt ? old.expiresAtMs : 0, leaseEndsAtMs + request.openRetentionMs),
      leaseEndsAtMs,
      cause: null,
      before: wasInDoubt ? { token: old.before === null ? old.token : nobody, cause: old.cause! } : null,
      landing: wasInDoubt ? old.landing : null,
      completion: null,
      route: request.route,
      namespace: request.namespace,
      keyHash: request.keyHash,
    };
    this.#entries.set(request.lease.key, entry);
    return { kind: "won", attempts: entry.attempts, taken: null };
  }

  #expire(entry: Entry): void {
    entry.state = "in_doubt";
    entry.cause = "lease_expired";
    entry.landing = null;
    entry.updatedAtMs = entry.leaseEndsAtMs;
  }

  #hold(entry: Entry, leaseMs: number, openRetentionMs: number): void {
    entry.leaseEndsAtMs = this.#nowMs + leaseMs;
    entry.expiresAtMs = Math.max(entry.expiresAtMs, entry.leaseEndsAtMs + openRetentionMs);
  }

  async extend(lease: Lease, leaseMs: number, openRetentionMs: number): Promise<"kept" | "lost"> {
    const entry = this.#find(lease.key);
    if (entry?.state !== "in_flight" || entry.token !== lease.token) return "lost";
    if (this.#nowMs >= entry.leaseEndsAtMs) return "lost";
    this.#hold(entry, leaseMs, openRetentionMs);
    return "kept";
  }

  async complete(lease: Lease, completion: Completion, origin: Origin): Promise<"stored" | "lost"> {
    const entry = this.#find(lease.key) ?? this.#writeAgain(lease, origin);
    if (entry.token !== lease.token || entry.state === "free") {
      return "lost";
    } else if (entry.completion !== null) {
      return "stored";
    }
    this.#finish(entry, completion, origin.retentionMs);
    this.#wake(lease.key);
    return "stored";
  }

  #writeAgain(lease: Lease, origin: Origin): Entry {
    const entry = { ...origin, token: lease.token, attempts: 1, createdAtMs: this.#nowMs, ...blank };
    this.#entries.set(lease.key, entry);
    return entry;
  }

  #finish(entry: Entry, completion: Completion, retentionMs: number): void {
    entry.state = completion.kind === "response" ? "completed" : "not_replayable";
    entry.completion = completion;
    entry.cause = entry.before = entry.landing = null;
    entry.updatedAtMs = this.#nowMs;
    entry.expiresAtMs = this.#nowMs + retentionMs;
  }

  async release(
    lease: Lease,
    landed?: { readonly landing: Landing; readonly landingMs: number },
  ): Promise<"released" | "lost"> {
    const entry = this.#find(lease.key);
    if (entry === undefined) return "released";
    if (entry.token !== lease.token || entry.completion !== null) return "lost";
    if (entry.state === "free") return "released";
    this.#free(entry);
    if (landed !== undefined) {
      entry.landing = landed.landing;
      entry.expiresAtMs = this.#nowMs + landed.landingMs;
    }
    this.#wake(lease.key);
    return "released";
  }

  async withdraw(lease: Lease): Promise<"withdrawn" | "lost"> {
    const entry = this.#find(lease.key);
    if (entry === undefined) return "withdrawn";
    if (entry.token !== lease.token || entry.completion !== null) return "lost";
    if (entry.state === "free") return "withdrawn";
    if (entry.before === null) {
      this.#entries.delete(lease.key);
    } else {
      entry.state = "in_doubt";
      entry.token = entry.before.token;
      entry.cause = entry.before.cause;
      entry.before = null;
      entry.updatedAtMs = this.#nowMs;
    }
    this.#wake(lease.key);
    return "withdrawn";
  }

  #free(entry: Entry): void {
    entry.state = "free";
    entry.completion = entry.cause = entry.before = entry.landing = null;
  }

  async strand(
    lease: Lease,
    cause: DoubtCause,
    landing: Landing | undefined,
    origin: Origin,
  ): Promise<"stranded" | "lost"> {
    const entry = this.#find(lease.key) ?? this.#writeAgain(lease, origin);
    if (entry.token !== lease.token) return "lost";
    if (entry.state !== "in_flight" && entry.state !== "in_doubt") return "lost";
    entry.state = "in_doubt";
    entry.cause = cause;
    entry.landing = landing ?? null;
    entry.updatedAtMs = this.#nowMs;
    entry.expiresAtMs = this.#nowMs + origin.openRetentionMs;
    this.#wake(lease.key);
    return "stranded";
  }

  async sweep(limit: number): Promise<readonly Swept[]> {
    const swept: Swept[] = [];
    for (const key of [...this.#entries.keys()]) {
      const entry = this.#find(key);
      if (entry?.state !== "in_flight" || this.#nowMs < entry.leaseEndsAtMs) continue;
      if (swept.length === limit) break;
      this.#expire(entry);
      swept.push({ key, route: entry.route });
    }
    return swept;
  }

  async peek(key: RecordKey, withResponse: boolean): Promise<RecordView | undefined> {
    const entry = this.#find(key);
    return entry === undefined || entry.state === "free" ? undefined : this.#view(key, entry, withResponse);
  }

  #view(key: RecordKey, entry: Entry, withResponse: boolean): RecordView {
    const isOver = entry.state === "in_flight" && this.#nowMs >= entry.leaseEndsAtMs;
    const done = entry.completion;
    return {
      key,
      route: entry.route,
      namespace: entry.namespace,
      keyHash: entry.keyHash,
      state: isOver ? "in_doubt" : (entry.state as RecordState),
      fingerprint: entry.fingerprint,
      attempts: entry.attempts,
      status: done === null ? null : done.kind === "response" ? done.response.status : done.status,
      cause: isOver ? "lease_expired" : entry.cause,
      createdAtMs: entry.createdAtMs,
      updatedAtMs: isOver ? entry.leaseEndsAtMs : entry.updatedAtMs,
      expiresAtMs: entry.expiresAtMs,
      ...(withResponse && done?.kind === "response" ? { response: done.response } : {}),
    };
  }

  async list(query: ListQuery): Promise<ListPage> {
    const all: RecordView[] = [];
    for (const key of [...this.#entries.keys()]) {
      const view = await this.peek(key, false);
      if (view === undefined) continue;
      if (query.route !== undefined && query.route !== view.route) continue;
      if (query.state !== undefined && query.state !== view.state) continue;
      if (query.keyHash !== undefined && query.keyHash !== view.keyHash) continue;
      if (query.idPrefix !== undefined && !key.startsWith(query.idPrefix)) continue;
      all.push(view);
    }
    const places = new Map(all.map((view) => [view, `${String(view.createdAtMs).padStart(16, "0")}.${view.key}`]));
    const { cursor } = query;
    const rest = all
      .filter((view) => cursor === undefined || places.get(view)! < cursor)
      .sort((a, b) => (places.get(a)! < places.get(b)! ? 1 : -1));
    const records = rest.slice(0, query.limit);
    return { records, cursor: rest.length > records.length ? places.get(records.at(-1)!)! : null };
  }

  async census(): Promise<readonly DoubtCount[]> {
    const { records } = await this.list({ state: "in_doubt", limit: Number.POSITIVE_INFINITY });
    return [...new Set(records.map(({ route }) => route))].map((route) => {
      const own = records.filter((record) => record.route === route);
      const oldestAgeMs = this.#nowMs - Math.min(...own.map(({ createdAtMs }) => createdAtMs));
      const soonestExpiryMs = Math.min(...own.map(({ expiresAtMs }) => expiresAtMs)) - this.#nowMs;
      return { route, records: own.length, oldestAgeMs, soonestExpiryMs };
    });
  }

  async forget(key: RecordKey, seen?: Seen): Promise<"forgotten" | "absent" | "inFlight" | "moved"> {
    const view = await this.peek(key, false);
    if (view === undefined) return "absent";
    if (hasMoved(view, seen)) return "moved";
    if (view.state === "in_flight") return "inFlight";
    this.#void(this.#find(key)!);
    this.#wake(key);
    return "forgotten";
  }

  async resolve(
    key: RecordKey,
    resolution: Resolution,
    seen?: Seen,
  ): Promise<"resolved" | "absent" | "notInDoubt" | "moved"> {
    const view = await this.peek(key, false);
    if (view === undefined) return "absent";
    if (hasMoved(view, seen)) return "moved";
    if (view.state !== "in_doubt") return "notInDoubt";
    const entry = this.#find(key)!;
    this.#void(entry);
    if (resolution.kind === "done") {
      this.#finish(entry, { kind: "response", response: resolution.response }, resolution.retentionMs);
    }
    this.#wake(key);
    return "resolved";
  }

  /** Free, and no lease fits any more; stays for as long as it would have, so that a late owner hears `lost`. */
  #void(entry: Entry): void {
    this.#free(entry);
    entry.token = "";
  }

  watch(key: RecordKey, wake: () => void): () => void {
    const wakes = this.#watchers.get(key) ?? new Set();
    this.#watchers.set(key, wakes.add(wake));
    return () => void wakes.delete(wake);
  }

  #wake(key: RecordKey): void {
    for (const wake of this.#watchers.get(key) ?? []) queueMicrotask(wake);
  }

  async ping(): Promise<void> {}

  async close(): Promise<void> {}

  #find(key: RecordKey): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#nowMs < entry.expiresAtMs) return entry;
    this.#entries.delete(key);
    return undefined;
  }
}

/** What `#finish` overwrites, or does not need. */
const blank = {
  state: "in_flight",
  updatedAtMs: 0,
  expiresAtMs: 0,
  leaseEndsAtMs: 0,
  cause: null,
  before: null,
  landing: null,
  completion: null,
} as const;

function hasMoved({ state, attempts, updatedAtMs }: RecordView, seen: Seen | undefined): boolean {
  if (seen === undefined) return false;
  return state !== seen.state || attempts !== seen.attempts || updatedAtMs !== seen.updatedAtMs;
}

function flightOf(token: string): FlightId {
  return token.slice(0, 16);
}
