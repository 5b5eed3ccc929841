import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { Lease, RecordKey } from "../../model.js";
import {
  type DoubtCount,
  type ListPage,
  type ListQuery,
  type RecordView,
  StoreUnavailableError,
} from "../record-store.js";
import type { Command } from "./command.js";
import { Gate } from "./gate.js";
import { Inbox, type Read, unavailable } from "./inbox.js";
import type { Notice, WriterStart } from "./messages.js";
import { Outbox } from "./outbox.js";
import { Ring } from "./ring.js";

const answerRingBytes = 1 << 20;
/** A segment of the journal of this size is sealed, and filed while the next one is written. */
const usualSegmentBytes = 1 << 24;
const usualTickMs = 1000;
/** A disk that answered nothing for so many ticks counts as gone, until it answers. */
const silentTicks = 5;
const restartMs = 200;
/** For a writer whose disk does not answer, when the process wants to end. */
const patienceMs = 5000;

const noLease: Lease = { key: "" as RecordKey, token: "" };

export interface ThreadHooks {
  /** Shared memory: this many ms are added to the host's clock. */
  readonly skewMs: Float64Array;
  /** The writer's file, where it is not beside this one. */
  readonly writer: URL | undefined;
  readonly segmentBytes: number | undefined;
  readonly tickMs: number | undefined;
  onTrouble(what: string, error?: Error): void;
  /** Ids of records that another process wrote, 32 bytes each. */
  onChanged(ids: Buffer): void;
}

type Found = Notice & { readonly kind: "page" | "counted" };

interface PendingPage {
  readonly resolve: (found: Found) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The gateway thread's end of the writer thread. A writer that dies is started again; what it had not answered is
 * rejected as perhaps carried out.
 */
export class WriterThread {
  #worker!: Worker;
  #outbox!: Outbox;
  #answers!: Ring;
  readonly #inbox = new Inbox((lease) => this.#withdraw(lease));
  readonly #pages = new Map<number, PendingPage>();
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
    thread.#clock = setInterval(() => thread.#tick(), hooks.tickMs ?? usualTickMs).unref();
    process.on("exit", thread.#onExit);
    return thread;
  }

  ask<T>(command: Command, read: Read<T>): Promise<T> {
    if (this.#state !== "up") return Promise.reject(unavailable(command, false, `the writer is ${this.#state}`));
    try {
      this.#outbox.send(command);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#inbox.isEmpty) this.#worker.ref();
    return this.#inbox.expect(command, read);
  }

  async list(query: ListQuery, view: (head: Buffer) => RecordView | undefined): Promise<ListPage> {
    const found = await this.#search(query);
    if (found.kind !== "page") throw new Error("a list was answered with a count");
    const views = found.heads.map((head) => view(Buffer.from(head.buffer, head.byteOffset, head.byteLength)));
    return { records: views.filter((one) => one !== undefined), cursor: found.cursor };
  }

  async census(): Promise<readonly DoubtCount[]> {
    const found = await this.#search();
    if (found.kind !== "counted") throw new Error("a census was answered with a list");
    return found.counts;
  }

  async #search(query?: ListQuery): Promise<Found> {
    const job = ++this.#jobs;
    const payload = Buffer.from(JSON.stringify({ job, query }));
    const page = new Promise<Found>((resolve, reject) => this.#pages.set(job, { resolve, reject }));
    page.catch(() => {});
    try {
      await this.ask({ verb: "list", lease: noLease, payload }, () => {});
    } catch (error) {
      this.#pages.delete(job);
      throw error;
    }
    return page;
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
    const worker = await startWorker(this.hooks.writer, workerData, (notice) => this.#hear(notice));
    outbox.deliverTo(worker);
    worker.on("error", (error) => this.#onEnd(worker, error));
    worker.on("exit", (exitCode) => this.#onEnd(worker, new Error(`the store's writer ended with ${exitCode}`)));
    worker.unref();
    this.#worker = worker;
    this.#outbox = outbox;
    this.#answers = answers;
    if (this.#state === "closing") outbox.send({ verb: "close", lease: noLease });
    else this.#state = "up";
  }

  #hear(notice: Notice | number | Uint8Array): void {
    if (typeof notice === "number") {
      const message = this.#answers.next();
      if (message === undefined) return;
      this.#settle(this.#answers.bytes, message.at, message.at + message.length);
      this.#answers.release();
    } else if (notice instanceof Uint8Array) this.#settle(Buffer.from(notice.buffer), 0, notice.length);
    else if (notice.kind === "trouble") this.hooks.onTrouble(notice.what, notice.error);
    else if (notice.kind === "changed") this.hooks.onChanged(Buffer.from(notice.ids.buffer));
    else if (notice.kind === "page" || notice.kind === "counted" || notice.kind === "noPage") this.#settlePage(notice);
  }

  #settle(bytes: Buffer, from: number, to: number): void {
    this.#silence = 0;
    if (this.#state === "silent") this.#state = "up";
    this.#inbox.settle(bytes, from, to);
    this.#restIfIdle();
    this.#outbox.flush();
  }

  #settlePage(notice: Notice & { kind: "page" | "counted" | "noPage" }): void {
    const page = this.#pages.get(notice.job);
    this.#pages.delete(notice.job);
    this.#restIfIdle();
    if (notice.kind === "noPage") {
      page?.reject(new StoreUnavailableError("list", false, { cause: new Error(notice.why) }));
      return;
    }
    page?.resolve(notice);
  }

  /** The process may end while nobody waits for anything. */
  #restIfIdle(): void {
    const isIdle = this.#inbox.isEmpty && this.#pages.size === 0 && this.#watching[0] === 0;
    if (isIdle && this.#state !== "closing") this.#worker.unref();
  }

  /** Nobody is there any more who would send anything for this claim. */
  #withdraw(lease: Lease): void {
    this.ask({ verb: "withdraw", lease }, () => {}).catch(() => {});
  }

  #tick(): void {
    if (this.#inbox.isEmpty) this.#silence = 0;
    else if (++this.#silence > silentTicks && this.#state === "up") {
      this.#state = "silent";
      this.hooks.onTrouble("The store's disk does not answer: requests are refused until it does.");
      this.#inbox.abandon("the disk does not answer");
      this.#giveUpPages("the disk does not answer");
    }
  }

  #giveUpPages(why: string): void {
    for (const page of this.#pages.values()) {
      page.reject(new StoreUnavailableError("list", false, { cause: new Error(why) }));
    }
    this.#pages.clear();
  }

  #onEnd(worker: Worker, error: Error): void {
    if (worker !== this.#worker || this.#state === "down") return;
    this.#inbox.clear("the writer ended");
    this.#giveUpPages("the writer ended");
    if (this.#state === "closing") return;
    this.#state = "down";
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

/** Resolves once the writer has opened the folder, or rejects with why it cannot. */
async function startWorker(
  writer: URL | undefined,
  workerData: WriterStart,
  hear: (notice: Notice | number | Uint8Array) => void,
): Promise<Worker> {
  // As TypeScript where this file is run as TypeScript: then the thread needs the loader of this one, else nothing.
  const isSource = import.meta.url.endsWith(".ts");
  const file = writer ?? new URL(isSource ? "./writer.ts" : "./writer.js", import.meta.url);
  const execArgv = file.pathname.endsWith(".ts") ? process.execArgv : [];
  const worker = new Worker(file, { workerData, execArgv, name: "store" });
  await new Promise<void>((resolve, reject) => {
    worker.once("error", reject);
    worker.once("exit", (exitCode) => reject(new Error(`the store's writer ended with ${exitCode}`)));
    worker.on("message", (notice: Notice | number | Uint8Array) => {
      if (typeof notice === "number" || notice instanceof Uint8Array) hear(notice);
      else if (notice.kind === "ready") resolve();
      else if (notice.kind === "failed") reject(new Error(notice.why));
      else hear(notice);
    });
  });
  worker.removeAllListeners("error");
  worker.removeAllListeners("exit");
  return worker;
}
