import type { ListQuery } from "../record-store.js";
import type { Database } from "./library.js";
import { Listing } from "./listing.js";
import { type Command, type ReaderVerbs, shared, state, type ThreadStart } from "./messages.js";
import { isDamage } from "./sqlite-error.js";
import type { StoreClock } from "./store-clock.js";
import { sound } from "./verbs.js";
import type { Warnings } from "./warnings.js";
import { refusal } from "./writer.js";

const frameBytes = 24 + 4096;
/** Commands after which the WAL is copied into the file, though more come. */
const copyAfter = 1000;
/** From this size on the writer pauses for the last of it, so that the WAL begins from its start again. */
const longFrames = 8192;
const watchEveryMs = 5;
const walLookEveryMs = 50;
const walRestMs = 1000;
/** Watched records that are looked at in one go. */
const mostLooked = 256;

/**
 * Does what only reads, or takes its time, on a connection of its own: so no claim waits for a list, for a large body or
 * for the copying of the WAL.
 */
export class Reader implements ReaderVerbs {
  readonly #listing: Listing;
  readonly #sql: {
    readonly fetch: ReaderStatement;
    readonly glance: ReaderStatement;
    readonly version: ReaderStatement;
  };
  /** What was last reported of each watched record. */
  readonly #watched = new Map<string, string>();
  #dataVersion: unknown;
  #copied = 0;
  #seen = 0;
  #lookAtMs = 0;

  constructor(
    private readonly start: ThreadStart,
    private readonly db: Database,
    private readonly clock: StoreClock,
    private readonly warnings: Warnings,
    private readonly onChanged: (keys: string[]) => void,
  ) {
    this.#listing = new Listing(db);
    this.#sql = {
      fetch: db.prepare("SELECT payload, checksum FROM record WHERE id = unhex(?) AND n = ? AND updated = ?"),
      glance: db.prepare("SELECT state, updated, due FROM record WHERE id = unhex(?)"),
      version: db.prepare("PRAGMA data_version"),
    };
    // Only a process that is the first, or the last, to have the file open makes a reader wait.
    db.exec("PRAGMA busy_timeout = 1000");
  }

  run([number, verb, ...args]: Command): unknown[] {
    try {
      return [number, (this[verb as keyof ReaderVerbs] as (...args: unknown[]) => unknown)(...args)];
    } catch (error) {
      const what = isDamage(error) ? "The records' file is damaged. See docs/embedded-store.md." : undefined;
      this.warnings.meet(what ?? "The store could not read.", error as Error);
      return [number, refusal((error as Error).message, false)];
    }
  }

  get dueInMs(): number {
    if (this.#watched.size > 0) return watchEveryMs;
    return Math.max(0, this.#lookAtMs - performance.now());
  }

  /** While no command waits. */
  tidy(): void {
    try {
      if (this.#watched.size > 0) this.#lookAtWatched();
      if (performance.now() >= this.#lookAtMs) this.#copyWal();
    } catch (error) {
      this.#lookAtMs = performance.now() + walRestMs;
      this.warnings.meet("The store could not copy its WAL.", error as Error);
    }
  }

  close(): true {
    this.db.close();
    return true;
  }

  fetch(key: string, n: number, updated: number): Uint8Array | undefined {
    return sound(this.#sql.fetch.get(key, n, updated));
  }

  peek(key: string, withResponse: boolean) {
    const found = this.#listing.peek(key, this.clock.nowMs());
    if (found === undefined) return undefined;
    const { n, ...view } = found;
    const hasPayload = withResponse && view.state === "completed";
    return { view, payload: hasPayload ? this.fetch(key, n, view.updatedAtMs) : undefined };
  }

  list(query: ListQuery) {
    return this.#listing.list(query, this.clock.nowMs());
  }

  census() {
    return this.#listing.census(this.clock.nowMs());
  }

  watch(key: string): true {
    this.#watched.set(key, "");
    // Looked at once at least: it may have changed before it was watched.
    this.#dataVersion = undefined;
    return true;
  }

  unwatch(key: string): true {
    this.#watched.delete(key);
    return true;
  }

  /** Which of them another connection has brought to an end. At most some, in turn. */
  #lookAtWatched(): void {
    const version = Object.values(this.#sql.version.get() ?? {})[0];
    if (version === this.#dataVersion) return;
    const changed: string[] = [];
    let looks = 0;
    for (const [key, reported] of this.#watched) {
      if (++looks > mostLooked) break;
      const row = this.#sql.glance.get(key) as { state: number; updated: number; due: number } | undefined;
      const isHeld = row?.state === state.inFlight && this.clock.nowMs() < row.due;
      const now = isHeld ? "" : row === undefined ? "gone" : `${row.state} ${row.updated}`;
      if (now !== "" && now !== reported) changed.push(key);
      // Behind all others, so that each has its turn.
      this.#watched.delete(key);
      this.#watched.set(key, now);
    }
    if (looks <= mostLooked) this.#dataVersion = version;
    if (changed.length > 0) this.onChanged(changed);
  }

  /** Keeps the WAL short: one damaged frame ends it, and what is in the file is read with one look. */
  #copyWal(): void {
    const written = Atomics.load(this.start.shared, shared.written);
    const isResting = written === this.#seen;
    this.#seen = written;
    this.#lookAtMs = performance.now() + (isResting ? walRestMs : walLookEveryMs);
    if (written === this.#copied || (!isResting && written - this.#copied < copyAfter)) return;
    const { log } = this.db.prepare("PRAGMA wal_checkpoint(PASSIVE)").get() as { log: number };
    this.#copied = written;
    Atomics.store(this.start.shared, shared.walBytes, Math.max(0, log) * frameBytes);
    if (log > longFrames) Atomics.store(this.start.shared, shared.isWalLong, 1);
  }
}

type ReaderStatement = ReturnType<Database["prepare"]>;
