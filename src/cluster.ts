import cluster, { type Worker } from "node:cluster";
import { availableParallelism } from "node:os";
import type { Logger } from "pino";
import { AggregatorRegistry, type Registry } from "prom-client";
import type { Config } from "./config/config.js";
import { type Crew, type Gateway, startGateway, startLead } from "./gateway.js";
import type { Recent, Sightings } from "./observe/recent.js";

/** What a primary tells its workers. */
type Order = "reload" | "drain";

/** A primary's question what a worker has seen of some records, and the answer. */
interface Question {
  readonly question: number;
  readonly prefix: string;
}
interface Report {
  readonly question: number;
  readonly report: Sightings;
}

/** How long a primary waits for these answers, ms. */
const reportMs = 1_000;

/** A worker that ends sooner than this after its start is not replaced at once, ms. */
const youngMs = 5_000;
const pauseMs = 1_000;
/** Beyond the configured drain, ms: for the worker to write down what it leaves in doubt. */
const graceMs = 3_000;

/** One process, or a primary with several workers on one port, as the configuration says. */
export function start(config: Config, log: Logger): Promise<Gateway> {
  if (isWorker()) return startGateway(config, log, reportTo);
  const { workers } = config.server;
  const count = workers === "auto" ? availableParallelism() : workers;
  return count === 1 ? startGateway(config, log) : startCrew(config, log, count);
}

/** In a worker: what its primary tells it to do. */
export function onOrder(listener: (order: Order) => void): void {
  if (!isWorker()) return;
  process.on("message", (message) => {
    if (isOrder(message)) listener(message.order);
  });
  // A primary that was killed cannot say anything any more; its workers do not outlive it.
  process.on("disconnect", () => listener("drain"));
}

/** A worker whose drain is over: only the channel to its primary would keep it alive. */
export function leaveCrew(): void {
  if (isWorker() && process.connected) process.disconnect();
}

/** Whether this process is one of several, and not the one that leads them. */
export function isWorker(): boolean {
  return cluster.isWorker;
}

/** Answers the primary when it asks for metrics or for what was seen, and tells it that this worker listens. */
function reportTo(registry: Registry, recent: Recent): void {
  AggregatorRegistry.setRegistries([registry]);
  // Its constructor is what begins to listen for the question.
  new AggregatorRegistry();
  process.on("message", (message: Partial<Question> | null) => {
    const { question, prefix } = message ?? {};
    if (question === undefined || prefix === undefined) return;
    process.send?.({ question, report: recent.of(prefix) } satisfies Report);
  });
  process.send?.({ ready: true });
}

function isOrder(message: unknown): message is { order: Order } {
  return typeof message === "object" && message !== null && "order" in message;
}

async function startCrew(config: Config, log: Logger, count: number): Promise<Gateway> {
  const crew = new Workers(config, log, count);
  const port = await crew.started();
  try {
    return await startLead(config, log, port, crew);
  } catch (error) {
    await crew.drain();
    throw error;
  }
}

/** The workers of this primary. One that dies is replaced; a drain reaches them all. */
class Workers implements Crew {
  readonly #registry = new AggregatorRegistry();
  readonly #ready = new Set<Worker>();
  #isDraining = false;
  #nextQuestion = 1;
  /** Questions that are not answered yet, and what to do with the answer. */
  readonly #asked = new Map<number, (report?: Sightings) => void>();

  constructor(
    private readonly config: Config,
    private readonly log: Logger,
    private readonly count: number,
  ) {
    // The kernel's own distribution leaves some workers idle on Linux.
    cluster.schedulingPolicy = cluster.SCHED_RR;
  }

  readonly metrics = {
    contentType: this.#registry.contentType,
    scrape: () => this.#registry.clusterMetrics(),
  };

  /** Resolves with the port once all listen. Rejects when one of them cannot: it has said why on stderr. */
  async started(): Promise<number> {
    const ports = await Promise.all(Array.from({ length: this.count }, () => this.#fork()));
    return ports[0] as number;
  }

  async recent(prefix: string): Promise<{ reports: Sightings[]; count: number }> {
    const workers = this.#all().filter((worker) => worker.isConnected());
    const answers = await Promise.all(workers.map((worker) => this.#ask(worker, prefix)));
    return { reports: answers.filter((report) => report !== undefined), count: workers.length };
  }

  /** `undefined`: it did not answer in time, or died. */
  #ask(worker: Worker, prefix: string): Promise<Sightings | undefined> {
    const question = this.#nextQuestion++;
    return new Promise((resolve) => {
      const end = (report?: Sightings) => {
        clearTimeout(timer);
        this.#asked.delete(question);
        resolve(report);
      };
      const timer = setTimeout(end, reportMs);
      this.#asked.set(question, end);
      worker.send({ question, prefix } satisfies Question, (error) => error !== null && end());
    });
  }

  isComplete(): boolean {
    return this.#ready.size >= this.count;
  }

  apply(): void {
    for (const worker of this.#all()) worker.send({ order: "reload" satisfies Order });
  }

  async drain(): Promise<void> {
    this.#isDraining = true;
    const ended = this.#all().map((worker) => new Promise<void>((resolve) => worker.on("exit", () => resolve())));
    for (const worker of this.#all()) if (worker.isConnected()) worker.send({ order: "drain" satisfies Order });
    const timer = setTimeout(() => {
      for (const worker of this.#all()) worker.process.kill("SIGKILL");
    }, this.config.server.drainTimeoutMs + graceMs);
    await Promise.all(ended);
    clearTimeout(timer);
  }

  #all(): Worker[] {
    return Object.values(cluster.workers ?? {}).filter((worker): worker is Worker => worker !== undefined);
  }

  #fork(): Promise<number> {
    const worker = cluster.fork();
    const begunMs = performance.now();
    return new Promise((resolve, reject) => {
      let port = 0;
      worker.on("listening", (address) => {
        port = address.port;
      });
      worker.on("message", (message: { ready?: boolean } & Partial<Report>) => {
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
