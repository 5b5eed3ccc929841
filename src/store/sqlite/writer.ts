import { connect, immediately, patiently, pragma, rollBack } from "./database.js";
import type { Database } from "./library.js";
import { type Command, type RefusedCommand, shared, type ThreadStart } from "./messages.js";
import { Room } from "./room.js";
import { format } from "./schema.js";
import { endsTransaction, isDamage, isDiskFull } from "./sqlite-error.js";
import { prepareStatements } from "./statements.js";
import type { StoreClock } from "./store-clock.js";
import { DiskFull, type Permission, Verbs } from "./verbs.js";
import type { Warnings } from "./warnings.js";

const writerCacheKiB = 32 * 1024;
const pageBytes = 4096;
const expireEveryMs = 1000;
const expireAgainMs = 20;
const fewestExpired = 64;
const afterFailureMs = 50;

type Answers = unknown[];

/** Carries out commands, all that waited in one transaction, and answers them once it is on the disk. */
export class Writer {
  #db!: Database;
  #verbs!: Verbs;
  #userVersion!: { get(): unknown };
  /** Why nothing can be carried out until the connection is made again. */
  #broken: Error | undefined;
  /** Why nothing is carried out any more. */
  #damage: Error | undefined;
  #retryAtMs = 0;
  #expireAtMs = 0;
  readonly #room: Room;

  constructor(
    private readonly start: ThreadStart,
    db: Database,
    private readonly clock: StoreClock,
    private readonly warnings: Warnings,
    onTrouble: (what: string) => void,
  ) {
    this.#use(db);
    this.#room = new Room(
      start.path,
      () => Number(pragma(this.#db, "freelist_count")) * pageBytes,
      (isShort) =>
        onTrouble(
          isShort
            ? "The store's disk is nearly full: new requests are refused."
            : "The store's disk has room again: new requests are taken.",
        ),
    );
  }

  /** Answers every command, each answer after its number. */
  run(commands: readonly Command[]): Answers {
    if (this.#broken !== undefined) this.#mend();
    const unfit = this.#damage ?? this.#broken;
    if (unfit !== undefined) return refuseAll(commands, unfit.message, false);
    const hasClaims = commands.some(([, verb]) => verb === "claim");
    const answers = this.#attempt(commands, hasClaims && this.#room.isShort ? "noClaims" : "all");
    Atomics.add(this.start.shared, shared.written, commands.length);
    this.#shortenWal();
    return answers;
  }

  /** When there is something to remove again, ms from now. */
  get dueInMs(): number {
    return Math.max(0, this.#expireAtMs - performance.now());
  }

  /** While no command waits: a little of what is over is removed. */
  tidy(): void {
    if (this.#damage !== undefined || this.#broken !== undefined) {
      this.#expireAtMs = performance.now() + expireEveryMs;
      return;
    }
    try {
      immediately(this.#db, () => {
        this.#verbs.begin(this.clock.nowMs(), "all");
        this.#expire(0);
      });
    } catch (error) {
      this.#expireAtMs = performance.now() + expireEveryMs;
      if (!isDiskFull(error)) this.#meet(error as Error);
    }
  }

  close(): void {
    rollBack(this.#db);
    this.#db.close();
  }

  #use(db: Database): void {
    this.#db = db;
    this.#verbs = new Verbs(prepareStatements(this.#db));
    this.#userVersion = this.#db.prepare("PRAGMA user_version");
  }

  /** Once more with less, when the disk is full: SQLite has undone what was done before. */
  #attempt(commands: readonly Command[], permission: Permission): Answers {
    let isCommitting = false;
    try {
      patiently(() => this.#db.exec("BEGIN IMMEDIATE"));
      this.#expectFormat();
      const nowMs = this.clock.nowMs();
      this.#verbs.begin(nowMs, permission);
      const answers: Answers = [];
      for (const command of commands) answers.push(command[0], this.#carryOut(command));
      if (permission === "all") {
        if (performance.now() >= this.#expireAtMs) this.#expire(commands.length);
        this.clock.note(this.#db, nowMs);
      }
      isCommitting = true;
      this.#db.exec("COMMIT");
      return answers;
    } catch (error) {
      rollBack(this.#db);
      if (isDiskFull(error) && permission !== "nothing") {
        return this.#attempt(commands, permission === "all" ? "noClaims" : "nothing");
      }
      this.#meet(error as Error);
      return refuseAll(commands, (error as Error).message, isCommitting && !isDiskFull(error));
    }
  }

  #carryOut([, verb, ...args]: Command): unknown {
    try {
      return (this.#verbs[verb as keyof Verbs] as (...args: unknown[]) => unknown)(...args);
    } catch (error) {
      if (endsTransaction(error)) throw error;
      // A record that cannot be read must not take the rest of the batch with it.
      if (!(error instanceof DiskFull)) this.warnings.meet("The store could not carry out a command.", error as Error);
      return refusal((error as Error).message, false);
    }
  }

  #expire(commands: number): void {
    const limit = fewestExpired + 2 * commands;
    const isBehind = this.#verbs.removeExpired(limit) >= limit;
    this.#expireAtMs = performance.now() + (isBehind ? expireAgainMs : expireEveryMs);
  }

  /** A newer program may have opened the folder since, and changed what a column means. */
  #expectFormat(): void {
    const { user_version: found } = this.#userVersion.get() as { user_version: number };
    if (found !== format)
      throw new Error(`the records are of another version (format ${found}, this one knows ${format})`);
  }

  #meet(error: Error): void {
    if (isDamage(error)) {
      this.#damage = new Error(`the records' file is damaged: ${error.message}`);
      this.warnings.meet(
        "The records' file is damaged: nothing is written to it any more. See docs/embedded-store.md.",
        error,
      );
    } else if (endsTransaction(error)) {
      this.#broken = error;
      this.warnings.meet("The store's disk failed: what was being written is uncertain.", error);
    } else this.warnings.meet("The store could not carry out commands.", error);
  }

  /**
   * After a failed flush the kernel may hold for written what is not on the disk. The WAL of which that may be true is
   * brought into the file, flushed and begun from its start, before anything more is appended to it.
   */
  #mend(): void {
    if (performance.now() < this.#retryAtMs) return;
    this.#retryAtMs = performance.now() + afterFailureMs;
    try {
      try {
        this.#db.close();
      } catch {
        // It is closed already, by an attempt before.
      }
      this.#use(patiently(() => connect(this.start.path, writerCacheKiB)));
      const { busy } = this.#db.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get() as { busy: number };
      if (busy === 0) this.#broken = undefined;
    } catch (error) {
      this.#broken = error as Error;
      if (isDamage(error)) this.#meet(error as Error);
    }
  }

  /** The reader copies the WAL into the file, and can never copy all of it while it grows: here it does not. */
  #shortenWal(): void {
    if (Atomics.exchange(this.start.shared, shared.isWalLong, 0) === 0) return;
    try {
      this.#db.exec("PRAGMA wal_checkpoint(PASSIVE)");
    } catch (error) {
      this.warnings.meet("The store could not shorten its WAL.", error as Error);
    }
  }
}

export function refusal(refused: string, mayHaveRun: boolean): RefusedCommand {
  return { refused, mayHaveRun };
}

function refuseAll(commands: readonly Command[], why: string, mayHaveRun: boolean): Answers {
  return commands.flatMap(([number]) => [number, refusal(why, mayHaveRun)]);
}
