import cluster, { type Worker } from "node:cluster";
import type { Logger } from "pino";
import { AggregatorRegistry, Registry } from "prom-client";
import type { Config } from "../config/config.js";
import type { Contents } from "../config/files.js";
import type { Crew } from "../gateway.js";
import type { Sightings } from "../observe/recent.js";
import {
  type Briefing,
  type Hello,
  type Metrics,
  type Order,
  packed,
  type Question,
  type Ready,
  type Report,
} from "./messages.js";

/** How long a primary waits for a worker's answer, ms. */
const reportMs = 1_000;

/** A worker that ends sooner than this after its start is not replaced at once, ms. */
const youngMs = 5_000;
const pauseMs = 1_000;
/** Beyond the configured drain, ms: for the worker to write down what it leaves in doubt. */
const graceMs = 3_000;

/**
 * The workers of this primary. One that dies is replaced, by one that runs by what the others run by, whatever is on the
 * disk by now: two that kept their records in different stores would run each request twice. A drain reaches them all.
 */
export class Workers implements Crew {
  readonly #ready = new Set<Worker>();
  #isDraining = false;
  /** The last files that were not refused, where there was a reload. */
  #reloaded: Contents | undefined;
  #nextQuestion = 1;
  /** Questions that are not answered yet, and what to do with the answer. */
  readonly #asked = new Map<number, (report?: Report["report"]) => void>();
  readonly #counted = new WeakMap<Worker, Metrics>();

  /** `atStart`: the files of `config`, where it has any. */
  constructor(
    private readonly config: Config,
    private readonly atStart: Contents | undefined,
    private readonly log: Logger,
    private readonly count: number,
  ) {
    // The kernel's own distribution leaves some workers idle on Linux.
    cluster.schedulingPolicy = cluster.SCHED_RR;
  }

  readonly metrics = { contentType: new Registry().contentType, scrape: () => this.#scrape() };

  /** Resolves with the port once all listen. Rejects when one of them cannot: it has said why on stderr. */
  async started(): Promise<number> {
    const ports = await Promise.all(Array.from({ length: this.count }, () => this.#fork()));
    return ports[0] as number;
  }

  async recent(prefix: string): Promise<{ reports: Sightings[]; count: number }> {
    const workers = this.#alive();
    const answers = await Promise.all(workers.map((worker) => this.#ask<Sightings>(worker, { prefix })));
    return { reports: answers.filter((report) => report !== undefined), count: workers.length };
  }

  /**
   * The workers' metrics, added up. One that does not answer in time has not lost what it had counted: a sum that falls
   * and comes back would be taken for a restart, and all of it for new.
   */
  async #scrape(): Promise<string> {
    const answers = this.#alive().map(async (worker) => {
      const counted = (await this.#ask<Metrics>(worker, "metrics")) ?? this.#counted.get(worker) ?? [];
      this.#counted.set(worker, counted);
      return counted;
    });
    return AggregatorRegistry.aggregate(await Promise.all(answers)).metrics();
  }

  /** `undefined`: it did not answer in time, or died. */
  #ask<T extends Report["report"]>(worker: Worker, about: Question["about"]): Promise<T | undefined> {
    const question = this.#nextQuestion++;
    return new Promise((resolve) => {
      const end = (report?: Report["report"]) => {
        clearTimeout(timer);
        this.#asked.delete(question);
        resolve(report as T | undefined);
      };
      const timer = setTimeout(end, reportMs);
      this.#asked.set(question, end);
      tell(worker, { question, about }, () => end());
    });
  }

  isComplete(): boolean {
    return this.#ready.size >= this.count;
  }

  reload(contents: Contents, isGood: boolean): void {
    if (isGood) this.#reloaded = contents;
    const files = packed(contents);
    for (const worker of this.#alive()) tell(worker, { order: "reload", files });
  }

  async drain(): Promise<void> {
    this.#isDraining = true;
    const workers = this.#alive();
    const ended = workers.map((worker) => new Promise<void>((resolve) => worker.on("exit", () => resolve())));
    for (const worker of workers) tell(worker, { order: "drain" });
    const timer = setTimeout(() => {
      for (const worker of workers) worker.process.kill("SIGKILL");
    }, this.config.server.drainTimeoutMs + graceMs);
    await Promise.all(ended);
    clearTimeout(timer);
  }

  #alive(): Worker[] {
    return Object.values(cluster.workers ?? {}).filter(
      (worker): worker is Worker => worker !== undefined && !worker.isDead(),
    );
  }

  #fork(): Promise<number> {
    const worker = cluster.fork();
    const begunMs = performance.now();
    return new Promise((resolve, reject) => {
      let port = 0;
      // A channel that breaks belongs to a worker that dies, which is heard of as such; one that never lived does not die.
      worker.on("error", (error) => {
        if (worker.process.pid === undefined) reject(error);
      });
      worker.on("listening", (address) => {
        port = address.port;
      });
      worker.on("message", (message: Partial<Hello> & Partial<Ready> & Partial<Report>) => {
        if (message.hello === true) this.#brief(worker);
        if (message.question !== undefined) this.#asked.get(message.question)?.(message.report);
        if (message.ready !== true) return;
        this.#ready.add(worker);
        resolve(port);
      });
      worker.on("exit", (code, signal) => {
        const wasReady = this.#ready.delete(worker);
        if (!wasReady) reject(new Error(`a worker ended before it listened (${signal ?? code})`));
        if (this.#isDraining || !wasReady) return;
        this.log.error({ worker: worker.process.pid, code, signal }, "a worker has died and is replaced");
        const delay = performance.now() - begunMs < youngMs ? pauseMs : 0;
        setTimeout(() => void this.#replace(), delay);
      });
    });
  }

  #brief(worker: Worker): void {
    const reloaded = this.#reloaded === undefined ? null : packed(this.#reloaded);
    tell(worker, { briefing: this.atStart === undefined ? null : { atStart: packed(this.atStart), reloaded } });
    if (this.#isDraining) tell(worker, { order: "drain" });
  }

  async #replace(): Promise<void> {
    if (this.#isDraining) return;
    try {
      await this.#fork();
    } catch (error) {
      this.log.error({ error: (error as Error).message }, "a worker could not be replaced; trying again");
      setTimeout(() => void this.#replace(), pauseMs);
    }
  }
}

/** Its channel may break at any moment: `onFailure` is told, and nobody else. */
function tell(worker: Worker, message: Briefing | Order | Question, onFailure: () => void = () => {}): void {
  worker.send(message, (error) => {
    if (error !== null) onFailure();
  });
}
