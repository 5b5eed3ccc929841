import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import type { Registry } from "prom-client";
import { createAdmin } from "./admin/server.js";
import type { Config } from "./config/config.js";
import type { Contents } from "./config/files.js";
import { Engine } from "./engine/engine.js";
import { EventHub } from "./events.js";
import { logEvents } from "./observe/event-log.js";
import { observeHost, primaryRegistry } from "./observe/host-metrics.js";
import { createMetrics } from "./observe/metrics.js";
import { Recent, type Sightings } from "./observe/recent.js";
import { openTracing } from "./observe/tracing.js";
import { BodyBudget } from "./proxy/body.js";
import { TrafficLanes } from "./proxy/lanes.js";
import { Pools } from "./proxy/pools.js";
import { TrafficServer } from "./proxy/server.js";
import { Tunnels } from "./proxy/upgrade.js";
import { UsualTimes } from "./proxy/usual-times.js";
import { openStore } from "./store/open.js";
import type { RecordStore } from "./store/record-store.js";
import { tracedStore } from "./store/traced-store.js";

/** How often an idle store is asked whether it still answers, ms. */
const pingMs = 5_000;

/** A running gateway, of one process or of several. */
export interface Gateway {
  /** The port that clients talk to. */
  readonly port: number;
  /** `null` in a worker: its primary has it. */
  readonly adminPort: number | null;
  readonly hub: EventHub;
  /** Routes and policies from now on; requests that have begun keep what they began with. `contents`: the files of it. */
  apply(config: Config, contents: Contents): void;
  /** Files that make no configuration: they are counted. */
  refuse(contents: Contents): void;
  /** Finishes and stores what runs, answers who waits, leaves the rest in doubt after the configured time, and ends. */
  drain(): Promise<void>;
}

/**
 * The composition root: the only place that builds things. Throws an `Error` whose message is one plain sentence when
 * the store or a port cannot be had; nothing is left open then. `lead`: in a worker, what tells its primary.
 */
export async function startGateway(
  initial: Config,
  log: Logger,
  lead?: (registry: Registry, recent: Recent) => void,
): Promise<Gateway> {
  let config = initial;
  const hub = new EventHub();
  logEvents(hub, log);
  const store = await openStore(config.store, hub);
  const budget = new BodyBudget(config.server.limits.bufferedBodiesBytes);
  const recent = new Recent(hub);
  const recall = async (prefix: string) => together([recent.of(prefix)], 0);
  const readiness = watchReadiness(store, hub);
  const { storeUp, draining } = readiness;
  const routes = () => config.routes;
  const metrics = createMetrics(hub, { routes, bufferedBytes: () => budget.usedBytes, storeUp });
  const tracing = await openTracing(process.env, hub, log);
  const engine = new Engine(tracing === undefined ? store : tracedStore(store), hub);
  const pools = new Pools(config.server.fastPath);
  const tunnels = new Tunnels();
  const server = new TrafficServer(config);
  const { route: passTo } = server;
  const tracer = tracing?.tracer;
  const lanes = new TrafficLanes(
    { engine, hub, pools, tunnels, usual: new UsualTimes(hub), budget, passTo, readiness, tracer },
    config,
  );
  let admin: FastifyInstance | undefined;
  if (lead === undefined) {
    const certificates = () => config.certificates;
    const host = { settings: config.store, store, routes, certificates, draining, log };
    const scrape = observeHost(metrics.registry, host, metrics.scrape);
    admin = createAdmin({ config: () => config, store, hub, metrics: { ...metrics, scrape }, readiness, recall });
  }

  const end = async () => {
    readiness.stop();
    tunnels.closeAll();
    server.destroy();
    await admin?.close();
    pools.destroy();
    await store.close();
    await tracing?.close();
  };
  try {
    const traffic = await server.listen(lanes).catch((error) => refuse(error, config.server));
    const adminPort = admin === undefined ? null : await listenAdmin(admin, config);
    lead?.(metrics.registry, recent);
    return {
      port: traffic.port,
      adminPort,
      hub,
      apply(next) {
        config = next;
        lanes.apply(next);
        hub.emit("reload", { result: "success" });
      },
      refuse: () => hub.emit("reload", { result: "failure" }),
      async drain() {
        readiness.drain();
        const finished = server.drain().then(() => engine.idle());
        if (!(await within(finished, config.server.drainTimeoutMs))) await engine.abandon();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** What a primary needs of its workers to serve the one admin port for all of them. */
export interface Crew {
  /** The workers' metrics, added up. */
  readonly metrics: { scrape(): Promise<string>; readonly contentType: string };
  /** What each of them has seen of some records; fewer than `count` where some did not answer in time. */
  recent(prefix: string): Promise<{ readonly reports: readonly Sightings[]; readonly count: number }>;
  /** Whether all of them have begun to listen. */
  isComplete(): boolean;
  /** To all of them: what was refused here they refuse as well, and they are the ones who count. */
  reload(contents: Contents, isGood: boolean): void;
  /** Resolves when the last one has ended. */
  drain(): Promise<void>;
}

/** The primary's part: the admin port, with a store of its own to look into. */
export async function startLead(initial: Config, log: Logger, port: number, crew: Crew): Promise<Gateway> {
  let config = initial;
  const hub = new EventHub();
  logEvents(hub, log);
  const store = await openStore(config.store, hub);
  const recent = new Recent(hub);
  const recall = async (prefix: string) => {
    const { reports, count } = await crew.recent(prefix);
    return together([recent.of(prefix), ...reports], count - reports.length);
  };
  const own = watchReadiness(store, hub);
  const readiness = { ...own, storeAnswered: () => own.storeAnswered() && crew.isComplete() };
  const registry = primaryRegistry();
  const certificates = () => config.certificates;
  const host = {
    settings: config.store,
    store,
    routes: () => config.routes,
    certificates,
    draining: own.draining,
    log,
  };
  const scrape = observeHost(registry, host, async () => {
    return `${await crew.metrics.scrape()}\n${await registry.metrics()}`;
  });
  const metrics = { contentType: crew.metrics.contentType, scrape };
  const admin = createAdmin({ config: () => config, store, hub, metrics, readiness, recall });
  const end = async () => {
    own.stop();
    await admin.close();
    await store.close();
  };
  try {
    const adminPort = await listenAdmin(admin, config);
    return {
      port,
      adminPort,
      hub,
      apply(next, contents) {
        config = next;
        crew.reload(contents, true);
        hub.emit("reload", { result: "success" });
      },
      refuse(contents) {
        crew.reload(contents, false);
        hub.emit("reload", { result: "failure" });
      },
      async drain() {
        own.drain();
        await crew.drain();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** What several processes have seen, as one. Something is missing from the moment on that the first of them forgot. */
function together(reports: readonly Sightings[], silent: number) {
  return {
    sinceMs: Math.max(...reports.map(({ sinceMs }) => sinceMs)),
    processes: reports.length,
    silent,
    seen: reports.flatMap(({ seen }) => seen),
  };
}

async function listenAdmin(admin: FastifyInstance, { admin: { host, port } }: Config): Promise<number> {
  await admin.listen({ host, port }).catch((error) => refuse(error, { host, port }));
  return (admin.server.address() as AddressInfo).port;
}

function watchReadiness(store: RecordStore, hub: EventHub) {
  let hasAnswered = false;
  let isUp = false;
  let isDraining = false;
  hub.on("store", ({ failed }) => {
    hasAnswered ||= !failed;
    isUp = !failed;
  });
  const ping = () => void store.ping().catch(() => undefined);
  const timer = setInterval(ping, pingMs);
  ping();
  return {
    storeAnswered: () => hasAnswered,
    storeUp: () => isUp,
    draining: () => isDraining,
    drain: () => {
      isDraining = true;
    },
    stop: () => clearInterval(timer),
  };
}

/** Whether it ended in time. */
async function within(work: Promise<unknown>, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  const isInTime = await Promise.race([work.then(() => true), over]);
  clearTimeout(timer);
  return isInTime;
}

function refuse(error: NodeJS.ErrnoException, address: { host: string; port: number }): never {
  const where = `${address.host}:${address.port}`;
  if (error.code === "EADDRINUSE") throw new Error(`the address ${where} is taken by another process`);
  if (error.code === "EACCES") throw new Error(`the address ${where} needs rights that this process does not have`);
  throw new Error(`cannot listen on ${where}: ${error.message}`);
}
