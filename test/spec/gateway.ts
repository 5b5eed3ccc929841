import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { stringify } from "yaml";
import type { Config } from "../../src/config/config.js";
import { loadConfig } from "../../src/config/load.js";
import { Engine } from "../../src/engine/engine.js";
import { EventHub, type Events } from "../../src/events.js";
import { BodyBudget } from "../../src/proxy/body.js";
import { TrafficLanes } from "../../src/proxy/lanes.js";
import { Pools } from "../../src/proxy/pools.js";
import { TrafficServer } from "../../src/proxy/server.js";
import { Tunnels } from "../../src/proxy/upgrade.js";
import { UsualTimes } from "../../src/proxy/usual-times.js";
import type { RecordView } from "../../src/store/record-store.js";
import { MemoryStore } from "../store/memory-store.js";
import { type Trouble, troubled } from "./troubled-store.js";

interface Owner {
  teardown(handler: () => unknown): void;
}

/** Part of a configuration, as a file would have it. */
export interface Settings {
  readonly server?: object;
  readonly problems?: object;
  readonly defaults?: object;
  readonly routes: readonly object[];
}

type Seen = { readonly [K in keyof Events]?: Events[K][] };

/**
 * The gateway's request path in this process: engine, lanes and traffic port as the composition root puts them together,
 * over the reference store, whose clock and whose failures the test has in its hand.
 */
export class SampleGateway {
  readonly hub = new EventHub();
  readonly budget: BodyBudget;
  readonly engine: Engine;
  readonly server: TrafficServer;
  readonly #lanes: TrafficLanes;
  readonly #pools: Pools;
  readonly #tunnels = new Tunnels();
  readonly #seen: { [K in keyof Events]?: Events[K][] } = {};
  /** What the readiness page goes by. */
  readonly readiness = { storeAnswered: () => true, storeUp: () => true, draining: () => false as boolean };
  port = 0;

  private constructor(
    config: Config,
    readonly store: MemoryStore,
    readonly trouble: Trouble,
  ) {
    const { hub } = this;
    for (const name of watched) hub.on(name, (event) => this.#note(name, event));
    this.#pools = new Pools(config.server.fastPath);
    this.budget = new BodyBudget(config.server.limits.bufferedBodiesBytes);
    this.engine = new Engine(troubled(store, trouble), hub);
    this.server = new TrafficServer(config);
    const usual = new UsualTimes(hub);
    const parts = { engine: this.engine, hub, pools: this.#pools, tunnels: this.#tunnels, usual, budget: this.budget };
    this.#lanes = new TrafficLanes({ ...parts, readiness: this.readiness, passTo: this.server.route }, config);
  }

  /** `shared`: another gateway whose store this one shares, as a second process would. */
  static async start(t: Owner, settings: Settings, shared?: SampleGateway): Promise<SampleGateway> {
    const gateway = new SampleGateway(configOf(t, settings), shared?.store ?? new MemoryStore(), {});
    gateway.port = (await gateway.server.listen(gateway.#lanes)).port;
    t.teardown(() => gateway.#end());
    return gateway;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** What was published so far. */
  seen<K extends (typeof watched)[number]>(name: K): readonly Events[K][] {
    return (this.#seen as Seen)[name] ?? [];
  }

  /** How many wait for somebody else's execution. */
  get waiters(): number {
    return this.seen("waiting").length - this.seen("waited").length;
  }

  get inFlight(): number {
    return this.seen("flightBegun").length - this.seen("flightEnded").length;
  }

  /** As the configuration file changed and was read again. */
  reload(t: Owner, settings: Settings): void {
    this.#lanes.apply(configOf(t, settings));
  }

  async records(): Promise<RecordView[]> {
    return (await this.store.list({ limit: 1000 })).records;
  }

  /** Asks again and again until it is so. */
  async until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const endMs = performance.now() + 15_000;
    while (!(await isSo())) {
      if (performance.now() > endMs) throw new Error(`never came: ${what}`);
      await pause(5);
    }
  }

  async waiting(count: number): Promise<void> {
    await this.until(`${count} waiters`, () => this.waiters === count);
  }

  /** Everything that was begun is over: nothing is held for anybody any more. */
  async quiet(): Promise<void> {
    await this.engine.idle();
    await this.until("no waiters", () => this.waiters === 0);
    await this.until("no bodies held", () => this.budget.usedBytes === 0);
  }

  async #end(): Promise<void> {
    this.#tunnels.closeAll();
    const closed = this.server.drain();
    this.server.destroy();
    await closed;
    await this.#pools.destroy();
    await this.engine.abandon();
  }

  #note<K extends keyof Events>(name: K, event: Events[K]): void {
    const known = this.#seen[name] as Events[K][] | undefined;
    if (known !== undefined) known.push(event);
    else Object.assign(this.#seen, { [name]: [event] });
  }
}

/** `FAST_PATH=off`: every file that uses this runs with `server.fastPath: false` (`npm run test:full-parsers`). */
export const isFastPathOn = process.env.FAST_PATH !== "off";

const watched = [
  "request",
  "upstream",
  "flightBegun",
  "flightEnded",
  "waiting",
  "waited",
  "inDoubt",
  "leaseLost",
  "fault",
  "observed",
  "scopeUncertain",
  "upstreamRetry",
] as const;

function configOf(t: Owner, settings: Settings): Config {
  const folder = mkdtempSync(join(tmpdir(), "idempotency-spec-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "gateway.yaml");
  const server = { host: "127.0.0.1", port: 0, fastPath: isFastPathOn, ...settings.server };
  writeFileSync(file, stringify({ ...settings, server }));
  const loaded = loadConfig(file, {});
  if (loaded.kind === "ok") return loaded.config;
  throw new Error(loaded.kind === "bad" ? JSON.stringify(loaded.mistakes, null, 2) : loaded.message);
}

/** A protected route, with a few durations short enough for tests. */
export function guarded(path: string, upstream: string, idempotency: object = {}, to: object = {}): object {
  const name = path.replace(/^\/|\W+$/g, "").replaceAll(/\W/g, "-") || "root";
  return { name, match: { path }, upstream: { url: upstream, ...to }, idempotency };
}

/** The unprotected rest. */
export function open(path: string, upstream: string, to: object = {}, match: object = {}): object {
  return { name: `open-${path.replaceAll(/\W/g, "-")}`, match: { path, ...match }, upstream: { url: upstream, ...to } };
}
