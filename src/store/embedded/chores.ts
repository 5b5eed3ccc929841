import type { MessagePort } from "node:worker_threads";
import { Census } from "./census.js";
import type { Ledger } from "./ledger.js";
import { Listing } from "./listing.js";
import type { ListJob, Notice } from "./messages.js";
import { payloadAt } from "./record.js";
import { isDiskFull, type Room } from "./room.js";
import { JournalBroken } from "./segment.js";
import { Sweeper } from "./sweeper.js";
import { LockFailed, type Trees } from "./trees.js";
import type { Troubles } from "./troubles.js";

/** Records filed in one go: a commit waits for it some milliseconds at most. */
const filingSteps = 256;
const listingSteps = 200;
const sweepingSteps = 256;
const sweepEveryMs = 5000;
const sweepAgainMs = 50;
/** What was written last is filed after this time, although the segment is not full. */
const sealAfterMs = 60_000;
/** How often the journal is looked at for what other processes wrote, while somebody waits for it. */
const newsEveryMs = 5;
/** Every so often with the lock: only then is a segment that was filed meanwhile noticed. */
const thoroughEvery = 20;
const afterFailureMs = 1000;

/** What the writer does when nobody waits for it, and a little of it in between when somebody always does. */
export class Chores {
  readonly #jobs: { readonly job: number; readonly search: Listing | Census }[] = [];
  readonly #sweeper = new Sweeper();
  /** Commands since the last filing. */
  #commands = 0;
  #sweepAtMs = performance.now() + sweepEveryMs;
  #sealAtMs = Number.POSITIVE_INFINITY;
  #restUntilMs = 0;
  #looks = 0;

  constructor(
    private readonly ledger: Ledger,
    private readonly trees: Trees,
    private readonly room: Room,
    private readonly troubles: Troubles,
    private readonly port: MessagePort,
    private readonly watching: Int32Array,
    private readonly skewMs: Float64Array,
  ) {}

  /** 0: there is something to do now. */
  get dueInMs(): number {
    const nowMs = performance.now();
    if (this.#restUntilMs > nowMs) return Math.min(this.#restUntilMs - nowMs, this.#isWatching ? newsEveryMs : 1e9);
    if (this.#jobs.length > 0 || this.ledger.unfiled > 0) return 0;
    if (this.#isWatching) return newsEveryMs;
    return Math.max(0, Math.min(this.#sweepAtMs, this.#sealAtMs) - nowMs);
  }

  /** After a batch. */
  note(commands: number, jobs: ListJob[]): void {
    this.#commands += commands;
    if (this.ledger.hasUnsealed && this.#sealAtMs === Number.POSITIVE_INFINITY) {
      this.#sealAtMs = performance.now() + sealAfterMs;
    }
    for (const { job, query } of jobs.splice(0)) {
      const nowMs = this.#nowMs();
      this.#jobs.push({ job, search: query === undefined ? new Census(nowMs) : new Listing(query, nowMs) });
      this.#attempt(() => this.ledger.seal());
    }
  }

  /** Whether filing must not wait for a pause: so much is written that the next segment would be full before. */
  get isBehind(): boolean {
    return this.#commands > filingSteps / 2 && this.ledger.unfiled > 0 && this.#restUntilMs <= performance.now();
  }

  /** One of whatever is due. */
  step(): void {
    if (this.#isWatching && (this.ledger.hasNews() || ++this.#looks % thoroughEvery === 0)) {
      this.#attempt(() => this.ledger.transact(() => {}));
    }
    if (this.#restUntilMs > performance.now()) return;
    this.#attempt(() => this.#work());
  }

  #work(): void {
    const nowMs = performance.now();
    if (this.ledger.unfiled > 0) {
      this.#commands = 0;
      this.ledger.file(filingSteps, this.#nowMs());
      this.trees.locked(() => {
        this.#sweeper.sweep(this.trees, this.#nowMs(), filingSteps);
      });
    } else if (this.#jobs.length > 0) this.#list();
    else if (nowMs >= this.#sealAtMs) {
      this.#sealAtMs = Number.POSITIVE_INFINITY;
      this.ledger.seal();
    } else if (nowMs >= this.#sweepAtMs) {
      let removed = 0;
      this.trees.locked(() => {
        removed = this.#sweeper.sweep(this.trees, this.#nowMs(), sweepingSteps);
      });
      this.#sweepAtMs = nowMs + (removed > 0 ? sweepAgainMs : sweepEveryMs);
    }
  }

  #list(): void {
    const { job, search } = this.#jobs[0]!;
    this.trees.locked(() => {
      const found = search.step(this.trees, listingSteps);
      if (found === undefined) return;
      this.#jobs.shift();
      if (Array.isArray(found)) return this.#post({ kind: "counted", job, counts: found });
      const heads = found.heads.map((head) => Uint8Array.from(head.subarray(0, payloadAt(head))));
      this.#post({ kind: "page", job, heads, cursor: found.cursor });
    });
  }

  /** What fails is tried again later. Only what this thread cannot get over is thrown. */
  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof JournalBroken || error instanceof LockFailed) throw error;
      this.#restUntilMs = performance.now() + afterFailureMs;
      const why = isDiskFull(error) ? "the disk is full" : (error as Error).message;
      for (const { job } of this.#jobs.splice(0)) this.#post({ kind: "noPage", job, why });
      // A full disk is told of by `Room`, in whatever words LMDB puts it.
      if (!isDiskFull(error) && !this.room.isShort) this.troubles.meet("The store could not tidy up.", error as Error);
    }
  }

  get #isWatching(): boolean {
    return Atomics.load(this.watching, 0) === 1;
  }

  #nowMs(): number {
    return Date.now() + this.skewMs[0]!;
  }

  #post(notice: Notice): void {
    this.port.postMessage(notice);
  }
}
