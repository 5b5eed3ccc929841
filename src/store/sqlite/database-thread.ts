import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { StoreUnavailableError } from "../record-store.js";
import { isLarge } from "./folder.js";
import type { Command, Notice, RefusedCommand, Role, ThreadStart } from "./messages.js";

const usualTickMs = 1000;
/** A disk that answered nothing for so many ticks counts as gone, until it answers. */
const silentTicks: Readonly<Record<Role, number>> = { writer: 5, reader: 60, checker: 0 };
const restartMs = 200;
/** For a thread whose disk does not answer, when the process wants to end. */
const endPatienceMs = 5000;

export interface ThreadHooks {
  readonly path: string;
  readonly shared: Int32Array;
  readonly skew: Float64Array;
  readonly boot: string | undefined;
  /** The compiled file of the threads, where it is not beside this one. */
  readonly thread: URL | undefined;
  readonly tickMs: number | undefined;
  onTrouble(what: string, error?: Error): void;
  /** Records that another process may have changed. */
  onChanged(keys: readonly string[]): void;
  /** An answer that came after its caller had given up. */
  onUnwanted(verb: string, args: readonly unknown[], answer: unknown): void;
}

interface Pending {
  readonly verb: string;
  readonly args: readonly unknown[];
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
  isAbandoned: boolean;
}

/**
 * One life of a thread: what it was asked and has not answered is its own. An answer that comes when nothing waits for
 * it any more meets nothing, in whatever order Node delivers a thread's messages and its end.
 */
class Generation {
  readonly pending = new Map<number, Pending>();
  readonly signal = new Int32Array(new SharedArrayBuffer(4));
  worker!: Worker;
  #commands: Command[] = [];
  #numbers = 0;

  ask<T>(verb: string, args: readonly unknown[]): Promise<T> {
    const number = ++this.#numbers;
    if (this.#commands.push([number, verb, ...args]) === 1) setImmediate(() => this.flush());
    return new Promise<T>((resolve, reject) => {
      this.pending.set(number, { verb, args, resolve, reject, isAbandoned: false });
    });
  }

  /** One message, and one wake, for all commands of a turn. */
  flush(): void {
    if (this.#commands.length === 0) return;
    this.worker.postMessage(this.#commands);
    this.#commands = [];
    Atomics.add(this.signal, 0, 1);
    Atomics.notify(this.signal, 0);
  }

  settle(answers: readonly unknown[], onUnwanted: ThreadHooks["onUnwanted"]): void {
    for (let index = 0; index < answers.length; index += 2) {
      const number = answers[index] as number;
      const pending = this.pending.get(number);
      if (pending === undefined) continue;
      this.pending.delete(number);
      const answer = answers[index + 1];
      if (isRefusalAnswer(answer)) pending.reject(unavailable(pending.verb, answer.mayHaveRun, answer.refused));
      else if (pending.isAbandoned) onUnwanted(pending.verb, pending.args, answer);
      else pending.resolve(answer as never);
    }
  }

  /** Their callers wait no longer. What becomes of them is still to be heard. */
  abandon(why: string): void {
    for (const pending of this.pending.values()) {
      pending.isAbandoned = true;
      pending.reject(unavailable(pending.verb, true, why));
    }
  }
}

/** The gateway's end of one thread of the store. A thread that ends is started again. */
export class DatabaseThread {
  #current!: Generation;
  #state: "up" | "down" | "silent" | "closing" = "down";
  #silence = 0;
  #isHeld = false;
  #clock: NodeJS.Timeout | undefined;
  readonly #onExit = () => {
    // Node waits for its threads, and this one waits for a disk that does not answer.
    if (this.#state === "silent") process.kill(process.pid, "SIGKILL");
  };

  private constructor(
    private readonly role: Role,
    private readonly hooks: ThreadHooks,
  ) {}

  /** Rejects with one sentence where the folder cannot be opened. */
  static async start(role: Role, hooks: ThreadHooks): Promise<DatabaseThread> {
    const thread = new DatabaseThread(role, hooks);
    await thread.#begin();
    thread.#clock = setInterval(() => thread.#tick(), hooks.tickMs ?? usualTickMs).unref();
    process.on("exit", thread.#onExit);
    return thread;
  }

  ask<T>(verb: string, ...args: readonly unknown[]): Promise<T> {
    if (this.#state !== "up") return Promise.reject(unavailable(verb, false, `the ${this.role} is ${this.#state}`));
    const { pending, worker } = this.#current;
    if (pending.size === 0) worker.ref();
    return this.#current.ask(verb, args);
  }

  /** While `isHeld` the thread has something to report, and the process waits for it. */
  hold(isHeld: boolean): void {
    if (this.#isHeld === isHeld) return;
    this.#isHeld = isHeld;
    if (isHeld && this.#state === "up") this.#current.worker.ref();
    else this.#restIfIdle();
  }

  /** The process may end while no caller waits for anything. */
  #restIfIdle(): void {
    const { pending, worker } = this.#current;
    if (pending.size === 0 && !this.#isHeld && this.#state !== "closing") worker.unref();
  }

  /** Everything asked for before is carried out first. */
  async close(): Promise<void> {
    if (this.#state === "closing") return;
    const wasDown = this.#state === "down";
    this.#state = "closing";
    clearInterval(this.#clock);
    if (!wasDown) {
      const { worker } = this.#current;
      worker.ref();
      this.#current.ask("close", []).catch(() => {});
      this.#current.flush();
      const patience = new AbortController();
      const gone = once(worker, "exit").then(() => patience.abort());
      await Promise.race([gone, setTimeout(endPatienceMs, undefined, { signal: patience.signal }).catch(() => {})]);
      worker.unref();
    }
    process.off("exit", this.#onExit);
  }

  async #begin(): Promise<void> {
    const generation = new Generation();
    const { path, shared, skew, boot, thread } = this.hooks;
    const start: ThreadStart = { role: this.role, path, shared, skew, boot, signal: generation.signal };
    const worker = await startWorker(thread, start, (message) => this.#hear(generation, message));
    generation.worker = worker;
    worker.removeAllListeners("error");
    worker.removeAllListeners("exit");
    let reason: Error | undefined;
    worker.on("error", (error) => {
      reason = error;
    });
    // Not at "error": it may overtake answers that were posted before it.
    worker.on("exit", (exitCode) => this.#onEnd(generation, reason ?? new Error(`the thread ended with ${exitCode}`)));
    worker.unref();
    this.#current = generation;
    if (this.#state === "closing") void generation.ask("close", []).catch(() => {});
    else this.#state = "up";
    if (this.#isHeld) worker.ref();
  }

  #hear(generation: Generation, message: Notice | unknown[]): void {
    if (!Array.isArray(message)) {
      if (message.kind === "warning") this.hooks.onTrouble(message.what, message.error);
      else if (message.kind === "changed") this.hooks.onChanged(message.keys);
      return;
    }
    this.#silence = 0;
    if (this.#state === "silent" && generation === this.#current) this.#state = "up";
    generation.settle(message, this.hooks.onUnwanted);
    if (generation === this.#current) this.#restIfIdle();
  }

  #tick(): void {
    if (this.#current.pending.size === 0) this.#silence = 0;
    else if (++this.#silence > silentTicks[this.role] && this.#state === "up") {
      this.#state = "silent";
      this.hooks.onTrouble("The store's disk does not answer: requests are refused until it does.");
      this.#current.abandon("the disk does not answer");
    }
  }

  #onEnd(generation: Generation, error: Error): void {
    generation.abandon("the thread ended");
    generation.pending.clear();
    if (generation !== this.#current || this.#state === "closing") return;
    this.#state = "down";
    this.hooks.onTrouble(`The store's ${this.role} thread ended and is started again.`, error);
    this.#restart();
  }

  #restart(): void {
    void setTimeout(restartMs, undefined, { ref: false }).then(() => {
      if (this.#state !== "down") return;
      this.#begin().catch((error) => {
        this.hooks.onTrouble(`The store's ${this.role} thread cannot be started.`, error);
        this.#restart();
      });
    });
  }
}

export function unavailable(verb: string, mayHaveRun: boolean, why: string, cause?: unknown): StoreUnavailableError {
  return new StoreUnavailableError(verb, mayHaveRun, { cause: new Error(why, { cause }) });
}

function isRefusalAnswer(answer: unknown): answer is RefusedCommand {
  return typeof answer === "object" && answer !== null && "refused" in answer;
}

/** Looks through a large file meanwhile, on a thread of its own that ends then. */
export function checkLargeFile({ path, thread, shared, skew, boot, onTrouble }: ThreadHooks): void {
  if (!isLarge(path)) return;
  const signal = new Int32Array(new SharedArrayBuffer(4));
  startWorker(thread, { role: "checker", path, shared, skew, boot, signal }, () => {}).catch((error) =>
    onTrouble(error.message),
  );
}

/** Resolves once the thread has opened the folder, or rejects with why it cannot. */
async function startWorker(
  thread: URL | undefined,
  workerData: ThreadStart,
  hear: (message: Notice | unknown[]) => void,
): Promise<Worker> {
  // As TypeScript where this file is run as TypeScript: then the thread needs the loader of this one, else nothing.
  const isSource = import.meta.url.endsWith(".ts");
  const file = thread ?? new URL(isSource ? "./thread-main.ts" : "./thread-main.js", import.meta.url);
  // Where Node brings SQLite itself, it may call it experimental.
  const execArgv = [
    "--disable-warning=ExperimentalWarning",
    ...(file.pathname.endsWith(".ts") ? process.execArgv : []),
  ];
  const worker = new Worker(file, { workerData, execArgv, name: `store ${workerData.role}` });
  if (workerData.role === "checker") worker.unref();
  await new Promise<void>((resolve, reject) => {
    worker.once("error", reject);
    worker.once("exit", (exitCode) => reject(new Error(`the store's ${workerData.role} ended with ${exitCode}`)));
    worker.on("message", (message: Notice | unknown[]) => {
      if (Array.isArray(message)) hear(message);
      else if (message.kind === "ready") resolve();
      else if (message.kind === "failed") reject(new Error(message.why));
      else hear(message);
    });
  });
  return worker;
}
