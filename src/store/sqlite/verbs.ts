import { crc32 } from "node:zlib";
import type { DoubtCause, Fingerprint } from "../../model.js";
import type { Seen, Swept } from "../record-store.js";
import { type ClaimAnswer, type Particulars, type Payload, state, stateNames, type WriterVerbs } from "./messages.js";
import type { Statements } from "./statements.js";

/** What may be written: on a full disk the completions of what runs come before new claims. */
export type Permission = "all" | "noClaims" | "nothing";

export class DiskFull extends Error {
  override readonly message = "the disk is full";
}

/** A payload up to this size travels with its answer, as long as the answers of the batch are no more than `mostInline`. */
const inlineBytes = 16 * 1024;
const mostInline = 4 * 1024 * 1024;

interface StoredRow {
  readonly n: number;
  readonly state: number;
  readonly token: string;
  readonly fingerprint: Fingerprint;
  readonly attempts: number;
  readonly updated: number;
  readonly due: number;
  readonly expires: number;
  readonly cause: DoubtCause | null;
  readonly causeBefore: DoubtCause | null;
  readonly status: number;
  readonly size: number | null;
}

/**
 * The law of the embedded store: what a command makes of a record, and what its caller is answered. Inside the writer's
 * transaction, so what is read here is still so when it is written.
 */
export class Verbs implements WriterVerbs {
  /** The moment at which the whole batch happens. */
  nowMs = 0;
  permission: Permission = "all";
  #inlined = 0;

  constructor(private readonly sql: Statements) {}

  begin(nowMs: number, permission: Permission): void {
    this.nowMs = nowMs;
    this.permission = permission;
    this.#inlined = 0;
  }

  claim(...request: Parameters<WriterVerbs["claim"]>): ClaimAnswer {
    const [key, token, [fingerprint, route, namespace, keyHash], leaseMs, openMs, mayTake, after] = request;
    const { nowMs } = this;
    const endsAtMs = nowMs + leaseMs;
    const heldUntilMs = endsAtMs + openMs;
    const insert = () =>
      this.sql.insert.run(key, token, fingerprint, nowMs, nowMs, endsAtMs, heldUntilMs, route, namespace, keyHash)
        .changes;
    if (this.permission === "all" && insert() === 1) return "won";
    let row = this.#find(key);
    if (row === undefined) {
      this.#mayClaim();
      insert();
      return "won";
    }
    const isOver = row.state === state.released || row.state === state.inDoubt;
    if (isOver && after !== undefined && row.size !== null && row.token.startsWith(after)) {
      return { kind: "landed", fingerprint: row.fingerprint, payload: this.#payload(row) };
    }
    if (row.state === state.released) {
      this.#mayClaim();
      const owner = [token, fingerprint, nowMs, nowMs, endsAtMs, heldUntilMs, route, namespace, keyHash];
      this.sql.retake.run(...owner, row.n);
      return { kind: "won", attempts: row.attempts + 1, taken: null };
    }
    if (row.state === state.completed) {
      const ageMs = Math.max(0, nowMs - row.updated);
      const remainingMs = row.expires - nowMs;
      return { kind: "done", fingerprint: row.fingerprint, ageMs, remainingMs, payload: this.#payload(row) };
    }
    if (row.state === state.notReplayable) {
      return { kind: "notReplayable", fingerprint: row.fingerprint, status: row.status };
    }
    const isSame = row.fingerprint === fingerprint;
    if (row.state === state.inFlight && nowMs < row.due) {
      if (!isSame || row.token !== token) {
        const { due } = row;
        return { kind: "held", fingerprint: row.fingerprint, flight: row.token.slice(0, 16), remainingMs: due - nowMs };
      }
      this.#mayClaim();
      this.sql.extend.run(endsAtMs, heldUntilMs, key, token, nowMs);
      return { kind: "won", attempts: row.attempts, taken: row.causeBefore };
    }
    const expired = row.state === state.inFlight;
    if (expired) {
      this.#mayClaim();
      this.sql.expire.run(row.n);
      row = { ...row, cause: "lease_expired" };
    }
    const cause = row.cause!;
    if (!isSame || !mayTake) return { kind: "inDoubt", fingerprint: row.fingerprint, cause, expired };
    this.#mayClaim();
    this.sql.takeOver.run(token, nowMs, endsAtMs, heldUntilMs, route, namespace, keyHash, row.n);
    return { kind: "won", attempts: row.attempts + 1, taken: cause, ...(expired ? { expired } : {}) };
  }

  extend(key: string, token: string, leaseMs: number, openMs: number): boolean {
    this.#mayWrite();
    const endsAtMs = this.nowMs + leaseMs;
    return this.sql.extend.run(endsAtMs, endsAtMs + openMs, key, token, this.nowMs).changes === 1;
  }

  complete(...completion: Parameters<WriterVerbs["complete"]>): boolean {
    const [key, token, particulars, isReplayable, status, payload, retentionMs] = completion;
    this.#mayWrite();
    const { nowMs } = this;
    const code = isReplayable ? state.completed : state.notReplayable;
    const end = [code, status, payload, crc32(payload), nowMs, nowMs + retentionMs];
    if (this.sql.complete.run(...end, key, token, nowMs).changes === 1) return true;
    const row = this.#find(key);
    if (row !== undefined) return row.state >= state.completed && row.token === token;
    this.#restore(key, token, particulars, [...end, null]);
    return true;
  }

  withdraw(key: string, token: string): boolean {
    const row = this.#owned(key, token);
    if (typeof row === "boolean") return row;
    if (row.causeBefore === null) this.sql.remove.run(row.n);
    else this.sql.putBack.run(this.nowMs, row.n);
    return true;
  }

  release(key: string, token: string, payload: Uint8Array | undefined, landingMs: number): boolean {
    const row = this.#owned(key, token);
    if (typeof row === "boolean") return row;
    const untilMs = payload === undefined ? row.expires : this.nowMs + landingMs;
    this.sql.release.run(...checked(payload), untilMs, row.n);
    return true;
  }

  strand(...doubt: Parameters<WriterVerbs["strand"]>): boolean {
    const [key, token, particulars, cause, payload, openMs] = doubt;
    this.#mayWrite();
    const row = this.#find(key);
    const untilMs = this.nowMs + openMs;
    if (row === undefined) {
      const end = [state.inDoubt, null, ...checked(payload), this.nowMs, untilMs, cause];
      this.#restore(key, token, particulars, end);
      return true;
    }
    if (row.state > state.inDoubt || row.token !== token) return false;
    this.sql.strand.run(cause, ...checked(payload), this.nowMs, untilMs, row.n);
    return true;
  }

  sweep(limit: number): Swept[] {
    this.#mayWrite();
    return this.sql.sweep.all(this.nowMs, this.nowMs, limit).map((swept) => ({ ...swept })) as unknown as Swept[];
  }

  forget(key: string, seen: Seen | undefined) {
    const row = this.#find(key);
    if (row === undefined || row.state === state.released) return "absent";
    if (!this.#isAsSeen(row, seen)) return "moved";
    if (row.state === state.inFlight && this.nowMs < row.due) return "inFlight";
    this.#mayWrite();
    this.sql.void.run(row.n);
    return "forgotten";
  }

  resolve(...decision: Parameters<WriterVerbs["resolve"]>) {
    const [key, status, payload, retentionMs, seen] = decision;
    const row = this.#find(key);
    if (row === undefined || row.state === state.released) return "absent";
    if (!this.#isAsSeen(row, seen)) return "moved";
    if (row.state > state.inDoubt || (row.state === state.inFlight && this.nowMs < row.due)) return "notInDoubt";
    this.#mayWrite();
    if (payload === undefined) this.sql.void.run(row.n);
    else this.sql.settle.run(status, ...checked(payload), this.nowMs, this.nowMs + retentionMs, row.n);
    return "resolved";
  }

  ping(): true {
    return true;
  }

  close(): true {
    return true;
  }

  /** Removes up to so many records that are over. Returns how many there were, at most `limit` in each state. */
  removeExpired(limit: number): number {
    let removed = 0;
    for (const code of Object.values(state)) {
      removed += Number(this.sql.forget.run(code, this.nowMs, this.nowMs, limit).changes);
    }
    return removed;
  }

  /** A record that is over is as good as none. */
  #find(key: string): StoredRow | undefined {
    const row = this.sql.find.get(key) as StoredRow | undefined;
    if (row === undefined || this.nowMs < row.expires) return row;
    if (this.permission !== "nothing") this.sql.remove.run(row.n);
    return undefined;
  }

  /** The record that its owner may free; `true`: there is nothing to free; `false`: it is not the caller's. */
  #owned(key: string, token: string): StoredRow | boolean {
    this.#mayWrite();
    const row = this.#find(key);
    if (row === undefined) return true;
    if (row.state >= state.completed || row.token !== token) return false;
    return row.state === state.released ? true : row;
  }

  #restore(
    key: string,
    token: string,
    particulars: Particulars,
    end: readonly (number | string | Uint8Array | null)[],
  ) {
    const [fingerprint, route, namespace, keyHash] = particulars;
    this.sql.restore.run(...end, key, token, fingerprint, this.nowMs, route, namespace, keyHash);
  }

  #payload(row: StoredRow): Payload {
    const size = row.size ?? 0;
    if (size > inlineBytes || this.#inlined + size > mostInline) return { n: row.n, updated: row.updated, size };
    this.#inlined += size;
    return sound(this.sql.payload.get(row.n))!;
  }

  #isAsSeen(row: StoredRow, seen: Seen | undefined): boolean {
    if (seen === undefined) return true;
    const isOver = row.state === state.inFlight && this.nowMs >= row.due;
    return (
      seen.state === (isOver ? "in_doubt" : stateNames[row.state]) &&
      seen.attempts === row.attempts &&
      seen.updatedAtMs === (isOver ? row.due : row.updated)
    );
  }

  #mayClaim(): void {
    if (this.permission !== "all") throw new DiskFull();
  }

  #mayWrite(): void {
    if (this.permission === "nothing") throw new DiskFull();
  }
}

/** The payload of a row, or an `Error` where it is not as it was written. */
export function sound(found: unknown): Uint8Array | undefined {
  const row = found as { readonly payload: Uint8Array | null; readonly checksum: number | null } | undefined;
  if (!row?.payload) return undefined;
  if (crc32(row.payload) !== row.checksum) throw new Error("a stored response is damaged on the disk");
  return row.payload;
}

function checked(payload: Uint8Array | undefined): [Uint8Array | null, number | null] {
  return payload === undefined ? [null, null] : [payload, crc32(payload)];
}
