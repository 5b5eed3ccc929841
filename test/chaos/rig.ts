import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childrenOf, exitOf } from "../e2e/gateway-process.js";
import { Gateway, type Settings } from "../e2e/harness.js";
import type { RedisServer } from "../redis-server.js";
import { Relay } from "../relay.js";
import type { Fault } from "./history.js";
import { Ledger } from "./ledger.js";
import { leaseMs, maxStoredBytes, upstreamTimeoutMs } from "./plan.js";
import type { Stage, Topology } from "./stage.js";

const heartbeatMs = 50;
const stallMs = 200;

export interface RigOptions {
  readonly topology: Topology;
  /** Needed for every store but the embedded one. */
  readonly redisBinary: string | undefined;
}

/** Gateways that share one store, and the ledger behind them; each can be harmed, and everything made whole again. */
export class Rig {
  readonly faults: Fault[] = [];
  /** Something did not come back; `whole` tells what. */
  hasFailed = false;
  readonly ledger: Ledger;
  readonly gateways: Gateway[] = [];
  /** Between the clients and each gateway; used only while `usesClientLinks`. */
  readonly clientLinks: Relay[] = [];
  usesClientLinks = false;
  /** Between the gateways and the upstream. */
  upstreamLink!: Relay;
  stage!: Stage;
  readonly #beganMs = performance.now();
  #beatMs = 0;
  readonly #harmed = new Set<number>();
  readonly #healing = new Set<Promise<void>>();
  readonly #teardowns: (() => unknown)[] = [];

  private constructor(readonly options: RigOptions) {
    this.ledger = new Ledger({
      now: () => this.now(),
      kill: (port) => {
        const ports = this.gateways.map((gateway, at) => [gateway.port, this.clientLinks[at]?.port]);
        const index = ports.findIndex((each) => each.includes(port));
        if (index >= 0) this.kill(index, "kill -9 at a dispatch", 0);
      },
    });
  }

  static async start(options: RigOptions): Promise<Rig> {
    const rig = new Rig(options);
    try {
      await rig.#start();
      return rig;
    } catch (error) {
      await rig.stop();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const owner = { teardown: (handler: () => unknown) => void this.#teardowns.unshift(handler) };
    const heartbeat = setInterval(() => this.#beat(), heartbeatMs);
    owner.teardown(() => clearInterval(heartbeat));
    const folder = await mkdtemp(join(tmpdir(), "idempotency-chaos-"));
    owner.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
    await this.ledger.listen();
    owner.teardown(() => this.ledger.goDown());
    this.upstreamLink = await Relay.start(owner, this.ledger.port);
    const { topology, redisBinary } = this.options;
    this.stage = await topology.open(owner, redisBinary as string);
    const stopWatching = this.#watchServers();
    owner.teardown(stopWatching);
    const settings = settingsOf(`http://127.0.0.1:${this.upstreamLink.port}`, this.stage.store, topology.workers);
    for (let index = 0; index < topology.gateways; index++) {
      const gateway = await Gateway.start(owner, settings, folder);
      this.gateways.push(gateway);
      this.clientLinks.push(await Relay.start(owner, gateway.port));
    }
  }

  /** What a client calls. */
  urlOf(index: number): string {
    const port = this.usesClientLinks ? this.clientLinks[index]?.port : this.gateways[index]?.port;
    return `http://127.0.0.1:${port}`;
  }

  now(): number {
    return performance.now() - this.#beganMs;
  }

  /** A gateway that nothing is being done to. */
  unharmed(): number[] {
    return this.gateways.map((_, index) => index).filter((index) => !this.#harmed.has(index));
  }

  kill(index: number, kind: string, downMs: number): void {
    this.#harm(index, kind, async (gateway) => {
      await gateway.process.kill();
      await sleep(downMs);
      await this.#bringBack(gateway);
    });
  }

  /** SIGSTOP, SIGCONT: its leases may run out meanwhile, and it does not know. */
  pause(index: number, stoppedMs: number): void {
    this.#harm(index, "SIGSTOP, SIGCONT", async (gateway) => {
      gateway.process.signal("SIGSTOP");
      await sleep(stoppedMs);
      gateway.process.signal("SIGCONT");
    });
  }

  /** kill -9 of one of its workers; its primary starts another one. */
  killWorker(index: number): void {
    this.#harm(index, "kill -9 of a worker", async (gateway) => {
      const workers = await childrenOf(gateway.process.pid);
      if (workers[0] === undefined) return;
      process.kill(workers[0], "SIGKILL");
      await gateway.until("another worker", async () => {
        const now = await childrenOf(gateway.process.pid);
        return now.length === workers.length && now.every((pid) => pid !== workers[0]);
      });
    });
  }

  /** SIGTERM, and started again. */
  drain(index: number): void {
    this.#harm(index, "SIGTERM", async (gateway) => {
      gateway.process.signal("SIGTERM");
      const exit = await exitOf(gateway.process);
      if (exit.code !== 0) throw new Error(`SIGTERM ended with ${exit.code} ${exit.signal}: ${gateway.process.stderr}`);
      await this.#bringBack(gateway);
    });
  }

  isDisturbed(what: string): boolean {
    return this.faults.some(({ kind, toMs }) => kind.startsWith(what) && toMs === Number.POSITIVE_INFINITY);
  }

  /** Something that is done to the store or the upstream; `kind` begins with which. */
  disturb(kind: string, work: () => Promise<void>): void {
    this.#track(kind, null, work);
  }

  /** Resolves when everything runs again. Rejects with what did not come back. */
  async whole(): Promise<void> {
    while (this.#healing.size > 0) await Promise.all(this.#healing);
    for (const gateway of this.gateways) {
      await gateway.until("the store answers again", async () => {
        return (await gateway.admin("GET", "/v1/records?limit=1").catch(() => undefined))?.status === 200;
      });
    }
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#healing);
    for (const handler of this.#teardowns.splice(0)) await handler();
  }

  /** While Redis is away a gateway refuses to start; whoever supervises it tries again. */
  async #bringBack(gateway: Gateway): Promise<void> {
    for (let turn = 0; turn < 20; turn++) {
      try {
        return await gateway.restart();
      } catch (error) {
        if (this.stage.kind === "embedded" || gateway.process.isRunning) throw error;
        await sleep(200);
      }
    }
    throw new Error(`the gateway does not start any more: ${gateway.process.stderr}`);
  }

  /** So is a server that answers late although nothing is being done to it: its disk may be busy, or its core. */
  #watchServers(): () => void {
    let isOver = false;
    const watch = async (server: RedisServer) => {
      while (!isOver) {
        const fromMs = this.now();
        await server.admin.ping().catch(() => {});
        const toMs = this.now();
        if (toMs - fromMs > stallMs) this.faults.push({ kind: "machine busy", gateway: null, fromMs, toMs });
        await sleep(heartbeatMs * 2);
      }
    };
    for (const server of [...this.stage.servers, ...this.stage.lockNodes]) void watch(server);
    return () => {
      isOver = true;
    };
  }

  /** A machine that is too busy to run this timer in time starves the gateways as well. */
  #beat(): void {
    const atMs = this.now();
    if (atMs - this.#beatMs > stallMs) {
      this.faults.push({ kind: "machine busy", gateway: null, fromMs: this.#beatMs, toMs: atMs });
    }
    this.#beatMs = atMs;
  }

  #harm(index: number, kind: string, work: (gateway: Gateway) => Promise<void>): void {
    const gateway = this.gateways[index];
    if (gateway === undefined || this.#harmed.has(index)) return;
    this.#harmed.add(index);
    this.#track(kind, index, () => work(gateway).finally(() => this.#harmed.delete(index)));
  }

  #track(kind: string, gateway: number | null, work: () => Promise<void>): void {
    const fault = { kind, gateway, fromMs: this.now(), toMs: Number.POSITIVE_INFINITY };
    this.faults.push(fault);
    const healing = work().then(() => {
      fault.toMs = this.now();
      this.#healing.delete(healing);
    });
    // Told by `whole`; until then it is no unhandled one.
    healing.catch(() => {
      this.hasFailed = true;
    });
    this.#healing.add(healing);
  }
}

function settingsOf(upstream: string, store: object, workers: number): Settings {
  const route = (name: string, more: object = {}) => ({
    name,
    match: { path: `/${name}` },
    upstream: { url: upstream, timeout: `${upstreamTimeoutMs}ms`, connectTimeout: "500ms" },
    idempotency: {
      // The gateways have ports of their own, and a client's key is one key at all of them.
      scope: ["header:authorization"],
      lease: `${leaseMs}ms`,
      waitTimeout: "2s",
      retention: "1h",
      response: { maxStored: `${maxStoredBytes / 1024}KiB` },
      ...more,
    },
  });
  const done = [201, 400, 409, 500];
  return {
    server: { drainTimeout: "1s", workers },
    store,
    logging: { level: "warn" },
    routes: [
      route("hold"),
      route("retry", { inDoubt: "retry" }),
      route("probe", { inDoubt: "probe", probe: { url: `${upstream}/probe-of/{key}`, done, notDone: [404] } }),
    ],
  };
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
