import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { Lease, RecordKey } from "../../model.js";
import { type ListPage, type ListQuery, type RecordView, StoreUnavailableError } from "../record-store.js";
import { AnswerReader, kind } from "./answer.js";
import type { Command } from "./command.js";
import { Gate } from "./gate.js";
import type { Notice, WriterStart } from "./messages.js";
import { Outbox } from "./outbox.js";
import { Ring } from "./ring.js";

const answerRingBytes = 1 << 20;
/** A segment of the journal of this size is sealed, and filed while the next one is written. */
const usualSegmentBytes = 1 << 24;
const tickMs = 1000;
/** A disk that answered nothing for so many ticks counts as gone, until it answers. */
const silentTicks = 5;
const restartMs = 200;
/** For a writer whose disk does not answer, when the process wants to end. */
const patienceMs = 5000;

export interface ThreadHooks {
  /** Shared memory: this many ms are added to the host's clock. */
  readonly skewMs: Float64Array;
  /** The writer's file, where it is not beside this one. */
  readonly writer: URL | undefined;
  readonly segmentBytes: number | undefined;
  onTrouble(what: string, error?: Error): void;
  /** Ids of records that another process wrote, 32 bytes each. */
  onChanged(ids: Buffer): void;
}

const noLease: Lease = { key: "" as RecordKey, token: "" };

interface Pending {
  readonly command: Command;
  readonly read: (answer: number, from: AnswerReader) => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  isAbandoned: boolean;
}

interface PagePending {
  readonly view: (head: Buffer) => RecordView | undefined;
  readonly resolve: (page: ListPage) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The gateway thread's end of the writer thread: commands go out in order, answers come back in the same order.
 * A writer that dies is started again; what it had not answered is rejected as perhaps carried out.
 */
export class WriterThread {
  #worker!: Worker;
  #outbox!: Outbox;
  #answers!: Ring;
  #pending: Pending[] = [];
  #answered = 0;
  readonly #pages = new Map<number, PagePending>();
  #jobs = 0;
  #state: "up" | "down" | "silent" | "closing" = "down";
  #silence = 0;
  #clock: NodeJS.Timeout | undefined;
  #gate = new Gate();
  readonly #onExit = () => this.#endProcess();
  readonly #watching = new Int32Array(new SharedArrayBuffer(4));

  private constructor(
    private readonly path: string,
    private readonly hooks: ThreadHooks,
  ) {}

  static async start(path: string, hooks: ThreadHooks): Promise<WriterThread> {
    const thread = new WriterThread(path, hooks);
    await thread.#spawn();
    thread.#clock = setInterval(() => thread.#tick(), tickMs).unref();
    process.on("exit", thread.#onExit);
    return thread;
  }

  ask<T>(command: Command, read: (answer: number, from: AnswerReader) => T): Promise<T> {
    if (this.#state !== "up") return Promise.reject(unavailable(command, false, `the writer is ${this.#state}`));
    return new Promise<T>((resolve, reject) => {
      this.#outbox.send(command);
      if (this.#pending.length === 0) this.#worker.ref();
      this.#pending.push({ command, read, resolve: resolve as (value: never) => void, reject, isAbandoned: false });
    });
  }

  list(query: ListQuery, view: (head: Buffer) => RecordView | undefined): Promise<ListPage> {
    const job = ++this.#jobs;
    const payload = Buffer.from(JSON.stringify({ job, query }));
    const page = new Promise<ListPage>((resolve, reject) => this.#pages.set(job, { view, resolve, reject }));
    const taken = this.ask({ verb: "list", lease: noLease, payload }, () => {});
    return taken.then(
      () => page,
      (error) => {
        this.#pages.delete(job);
        page.catch(() => {});
        throw error;
      },
    );
  }

  /** Only while somebody watches does the writer look for what other processes write. */
  setWatching(isWatching: boolean): void {
    const was = Atomics.exchange(this.#watching, 0, isWatching ? 1 : 0) === 1;
    if (was === isWatching || this.#state === "closing") return;
    if (!isWatching) return this.#restIfIdle();
    this.#worker.ref();
    this.#outbox.nudge();
  }

  async close(): Promise<void> {
    if (this.#state === "closing") return;
    const wasDown = this.#state === "down";
    this.#state = "closing";
    clearInterval(this.#clock);
    if (!wasDown) await this.#end();
    process.off("exit", this.#onExit);
  }

  /** Everything asked for before is carried out first. */
  async #end(): Promise<void> {
    this.#worker.ref();
    this.#outbox.send({ verb: "close", lease: noLease });
    const patience = new AbortController();
    const gone = once(this.#worker, "exit").then(() => patience.abort());
    await Promise.race([gone, setTimeout(patienceMs, undefined, { signal: patience.signal }).catch(() => {})]);
    this.#worker.unref();
  }

  /** A writer that cannot be stopped outside of a transaction is taken along by force: that leaves nothing behind. */
  #endProcess(): void {
    if (!this.#gate.shut(patienceMs)) process.kill(process.pid, "SIGKILL");
  }

  async #spawn(): Promise<void> {
    const outbox = new Outbox();
    const answers = Ring.ofSize(answerRingBytes);
    this.#gate = new Gate();
    const workerData: WriterStart = {
      path: this.path,
      segmentBytes: this.hooks.segmentBytes ?? usualSegmentBytes,
      commands: outbox.memory,
      answers: answers.memory,
      skewMs: this.hooks.skewMs,
      watching: this.#watching,
      gate: this.#gate.words,
    };
    // As TypeScript where this file is run as TypeScript: then the thread needs the loader of this one, else nothing.
    const isSource = import.meta.url.endsWith(".ts");
    const file = this.hooks.writer ?? new URL(isSource ? "./writer.ts" : "./writer.js", import.meta.url);
    const execArgv = file.pathname.endsWith(".ts") ? process.execArgv : [];
    const worker = new Worker(file, { workerData, execArgv, name: "store" });
    await new Promise<void>((resolve, reject) => {
      worker.once("error", reject);
      worker.once("exit", (exitCode) => reject(new Error(`the store's writer ended with ${exitCode}`)));
      worker.on("message", (notice: Notice | number | Uint8Array) => {
        if (typeof notice === "number") this.#settleFromRing();
        else if (notice instanceof Uint8Array) this.#settle(Buffer.from(notice.buffer), 0, notice.length);
        else if (notice.kind === "ready") resolve();
        else if (notice.kind === "failed") reject(new Error(notice.why));
        else this.#hear(notice);
      });
    });
    outbox.deliverTo(worker);
    worker.removeAllListeners("error");
    worker.removeAllListeners("exit");
    worker.on("error", (error) => this.#onEnd(worker, error));
    worker.on("exit", (exitCode) => this.#onEnd(worker, new Error(`the store's writer ended with ${exitCode}`)));
    worker.unref();
    this.#worker = worker;
    this.#outbox = outbox;
    this.#answers = answers;
    if (this.#state === "closing") outbox.send({ verb: "close", lease: noLease });
    else this.#state = "up";
  }

  #hear(notice: Notice): void {
    if (notice.kind === "trouble") this.hooks.onTrouble(notice.what, notice.error);
    if (notice.kind === "changed") this.hooks.onChanged(Buffer.from(notice.ids.buffer));
    if (notice.kind !== "page" && notice.kind !== "noPage") return;
    const page = this.#pages.get(notice.job);
    this.#pages.delete(notice.job);
    this.#restIfIdle();
    if (page === undefined) return;
    if (notice.kind === "noPage") return page.reject(new StoreUnavailableError("list", false, reason(notice.why)));
    const views = notice.heads.map((head) => page.view(Buffer.from(head.buffer, head.byteOffset, head.byteLength)));
    page.resolve({ records: views.filter((view) => view !== undefined), cursor: notice.cursor });
  }

  #settleFromRing(): void {
    const message = this.#answers.next();
    if (message === undefined) return;
    this.#settle(this.#answers.bytes, message.at, message.at + message.length);
    this.#answers.release();
  }

  #settle(bytes: Buffer, from: number, to: number): void {
    this.#silence = 0;
    if (this.#state === "silent") this.#state = "up";
    const answers = new AnswerReader(bytes, from, to);
    while (answers.hasMore) this.#settleOne(this.#pending[this.#answered++]!, answers);
    if (this.#answered === this.#pending.length) {
      this.#pending = [];
      this.#answered = 0;
      this.#restIfIdle();
    } else if (this.#answered > 1024) {
      this.#pending.splice(0, this.#answered);
      this.#answered = 0;
    }
    this.#outbox.flush();
  }

  /** The process may end while nobody waits for an answer. */
  #restIfIdle(): void {
    const isIdle = this.#pending.length === 0 && this.#pages.size === 0 && this.#watching[0] === 0;
    if (isIdle && this.#state !== "closing") this.#worker.unref();
  }

  #settleOne(pending: Pending, answers: AnswerReader): void {
    const answer = answers.byte();
    if (answer === kind.unavailable) {
      const mayHaveRun = answers.byte() === 1;
      const why = answers.blob().toString();
      pending.reject(unavailable(pending.command, mayHaveRun, why));
      return;
    }
    // An answer that cannot be read (a record damaged, or written by a newer version) must not take others with it.
    try {
      pending.resolve(pending.read(answer, answers) as never);
    } catch (error) {
      pending.reject(unavailable(pending.command, true, "its answer cannot be read", error));
    }
    if (pending.isAbandoned && answer === kind.won) {
      this.ask({ verb: "withdraw", lease: pending.command.lease }, () => {}).catch(() => {});
    }
  }

  #tick(): void {
    if (this.#answered === this.#pending.length) this.#silence = 0;
    else if (++this.#silence > silentTicks && this.#state === "up") {
      this.#state = "silent";
      this.hooks.onTrouble(`The store's disk has not answered for ${silentTicks} seconds.`);
      this.#abandon("the disk does not answer");
    }
  }

  #abandon(why: string): void {
    for (let index = this.#answered; index < this.#pending.length; index++) {
      const pending = this.#pending[index]!;
      if (pending.isAbandoned) continue;
      pending.isAbandoned = true;
      pending.reject(unavailable(pending.command, true, why));
    }
    for (const page of this.#pages.values()) page.reject(new StoreUnavailableError("list", false, reason(why)));
    this.#pages.clear();
  }

  #onEnd(worker: Worker, error: Error): void {
    if (worker !== this.#worker || this.#state === "down") return;
    const wasClosing = this.#state === "closing";
    this.#state = wasClosing ? "closing" : "down";
    this.#abandon("the writer ended");
    this.#pending = [];
    this.#answered = 0;
    if (wasClosing) return;
    this.hooks.onTrouble("The store's writer thread ended and is started again.", error);
    this.#restart();
  }

  #restart(): void {
    void setTimeout(restartMs, undefined, { ref: false }).then(() => {
      if (this.#state !== "down") return;
      this.#spawn().catch((error) => {
        this.hooks.onTrouble("The store's writer thread cannot be started.", error);
        this.#restart();
      });
    });
  }
}

function reason(why: string, cause?: unknown): ErrorOptions {
  return { cause: new Error(why, { cause }) };
}

function unavailable(command: Command, mayHaveRun: boolean, why: string, cause?: unknown): StoreUnavailableError {
  return new StoreUnavailableError(command.verb, mayHaveRun, reason(why, cause));
}
