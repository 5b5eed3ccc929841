import { collectDefaultMetrics, Registry } from "prom-client";
import type { EventHub, Result, Would } from "../events.js";
import type { DoubtCause, Route } from "../model.js";
import { counter, countOf, type Family, gauge, histogram, type Known, reading, register } from "./families.js";
import { Buckets, type Count, Table } from "./series.js";

/** What is read at each scrape rather than told by an event. */
export interface MetricSources {
  /** The routes in force. */
  readonly routes: () => readonly Route[];
  readonly bufferedBytes: () => number;
  /** Whether it answered when it was last asked. */
  readonly storeUp: () => boolean;
}

export interface Metrics {
  /** For adding up the workers of one host. */
  readonly registry: Registry;
  readonly contentType: string;
  scrape(): Promise<string>;
}

/** Seconds. The list of OpenTelemetry's HTTP conventions, and two more for slow payments. */
const httpBounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60];
const storeBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

/** Of duplicates: a minute, an hour, a day, a week and what lies between. */
const ageBounds = [1, 10, 60, 300, 900, 3600, 14_400, 43_200, 86_400, 259_200, 604_800, 2_592_000];

const causes: readonly DoubtCause[] = ["reset", "timeout", "status", "lease_expired", "lock_lost", "store_lost"];
const unprotectedResults: readonly Result[] = ["unprotected", "rejected", "error"];
const results: readonly Result[] = [
  "executed",
  "replayed",
  "shared",
  "mismatch",
  "in_progress",
  "outcome_unknown",
  "bypassed",
  ...unprotectedResults,
];
const woulds: readonly Would[] = ["replay", "wait", "mismatch", "outcome_unknown", "response_not_stored", "reject"];
const operations = [
  "claim",
  "extend",
  "complete",
  "withdraw",
  "release",
  "strand",
  "sweep",
  "peek",
  "list",
  "census",
  "forget",
  "resolve",
  "ping",
];

/** prom-client ends these gauges in `_total`, which `promtool check metrics` refuses for anything but a counter. */
const misnamed = ["nodejs_active_handles_total", "nodejs_active_requests_total", "nodejs_active_resources_total"];

/** Ends of a request with a key that had been used for the same request: without the gateway it would have run again. */
const keptFromRunning: ReadonlySet<Result> = new Set(["replayed", "shared", "in_progress", "outcome_unknown"]);

/** Every metric is there from the first scrape, so that an alert can tell "nothing happened" from "nobody counts". */
export function createMetrics(hub: EventHub, sources: MetricSources): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of misnamed) registry.removeSingleMetric(name);
  const tables = openTables();
  listen(hub, tables);
  for (const family of workerFamilies(tables, sources)) register(registry, family);
  return { registry, contentType: registry.contentType, scrape: () => registry.metrics() };
}

/** What each process counts for itself. */
export function workerFamilies(tables: Tables, sources: MetricSources): Family[] {
  return [...trafficFamilies(tables, sources), ...recordFamilies(tables, sources)];
}

type Tables = ReturnType<typeof openTables>;

export function openTables() {
  const zero = (): Count => ({ value: 0 });
  const http = () => new Buckets(httpBounds);
  return {
    requests: new Table(http, ["route", "result"]),
    upstream: new Table(http, ["route"]),
    retries: new Table(zero, ["route"]),
    waits: new Table(http, ["route"]),
    overhead: new Table(() => new Buckets(storeBounds), ["route"]),
    store: new Table(() => new Buckets(storeBounds), ["operation"]),
    storeErrors: new Table(zero, ["operation"]),
    inFlight: new Table(zero, ["route"]),
    waiters: new Table(zero, ["route"]),
    inDoubt: new Table(zero, ["route", "cause"]),
    leaseLost: new Table(zero, ["route"]),
    uncertain: new Table(zero, ["route"]),
    prevented: new Table(zero, ["route"]),
    duplicateAge: new Table(() => new Buckets(ageBounds), ["route"]),
    observed: new Table(zero, ["route", "would"]),
    reloads: new Table(zero, ["result"]),
  };
}

/** All that runs within a request: a look-up and an addition. One that no route took has the empty `route`. */
function listen(hub: EventHub, tables: Tables): void {
  hub.on("request", ({ route, result, durationMs, overheadMs }) => {
    tables.requests.at(route ?? "", result).observe(durationMs / 1000);
    if (route !== null && keptFromRunning.has(result)) tables.prevented.at(route).value++;
    if (overheadMs !== undefined) tables.overhead.at(route ?? "").observe(overheadMs / 1000);
  });
  hub.on("duplicate", ({ route, ageMs }) => tables.duplicateAge.at(route).observe(ageMs / 1000));
  hub.on("upstream", (event) => tables.upstream.at(event.route).observe(event.durationMs / 1000));
  hub.on("upstreamRetry", ({ route }) => void tables.retries.at(route).value++);
  hub.on("store", (event) => {
    tables.store.at(event.operation).observe(event.durationMs / 1000);
    if (event.failed) tables.storeErrors.at(event.operation).value++;
  });
  hub.on("flightBegun", ({ route }) => void tables.inFlight.at(route).value++);
  hub.on("flightEnded", ({ route }) => void tables.inFlight.at(route).value--);
  hub.on("waiting", ({ route }) => void tables.waiters.at(route).value++);
  hub.on("waited", ({ route, durationMs }) => {
    tables.waiters.at(route).value--;
    tables.waits.at(route).observe(durationMs / 1000);
  });
  hub.on("inDoubt", ({ route, cause }) => void tables.inDoubt.at(route, cause).value++);
  hub.on("leaseLost", ({ route }) => void tables.leaseLost.at(route).value++);
  hub.on("scopeUncertain", ({ route }) => void tables.uncertain.at(route).value++);
  hub.on("observed", ({ route, would }) => void tables.observed.at(route, would).value++);
  hub.on("reload", ({ result }) => void tables.reloads.at(result).value++);
}

function trafficFamilies(tables: Tables, { routes, storeUp }: MetricSources): Family[] {
  const { requests, upstream, retries, waits, overhead, store, storeErrors } = tables;
  const endings: Known = () =>
    routes().flatMap(({ name, policy }) =>
      (policy === null ? unprotectedResults : results).map((result) => [name, result] as const),
    );
  const every: Known = () => routes().map(({ name }) => [name] as const);
  const asked: Known = () => operations.map((operation) => [operation] as const);
  return [
    countOf("requests_total", "Requests answered, by how they ended.", requests, endings),
    histogram("request_duration_seconds", "Time from a request's head to the end of its answer.", requests),
    histogram("upstream_duration_seconds", "Time an upstream call took.", upstream),
    counter(
      "upstream_retries_total",
      "Requests that were sent again: nothing of them had reached the upstream.",
      retries,
      every,
    ),
    histogram("wait_duration_seconds", "Time a request waited for the result of another one.", waits),
    histogram(
      "overhead_duration_seconds",
      "Time from a protected request's body to its answer, less the upstream's and waiting.",
      overhead,
    ),
    histogram("store_duration_seconds", "Time a command to the record store took.", store),
    counter("store_errors_total", "Commands the record store did not answer, or not in time.", storeErrors, asked),
    reading("store_up", "1 while the record store answers this process.", () => (storeUp() ? 1 : 0), "min"),
  ];
}

function recordFamilies(tables: Tables, sources: MetricSources): Family[] {
  const guarded = () => sources.routes().filter((route) => route.policy !== null);
  const routes: Known = () => guarded().map((route) => [route.name] as const);
  const doubts: Known = () => guarded().flatMap((route) => causes.map((cause) => [route.name, cause] as const));
  const watched: Known = () =>
    guarded().flatMap((route) =>
      route.policy?.mode === "observe" ? woulds.map((would) => [route.name, would] as const) : [],
    );
  const results: Known = () => [["success"], ["failure"]];
  return [
    gauge("in_flight", "Protected requests an upstream is working on.", tables.inFlight, routes),
    gauge("waiters", "Requests that wait for the result of another one.", tables.waiters, routes),
    counter("in_doubt_total", "Records that turned in doubt, by cause.", tables.inDoubt, doubts),
    counter("lease_lost_total", "Leases that ran out or were taken over before the end.", tables.leaseLost, routes),
    counter(
      "scope_uncertain_total",
      "Protected requests whose scope may not identify the client, or may change with each retry.",
      tables.uncertain,
      routes,
    ),
    counter(
      "prevented_total",
      "Requests that were not sent because the same one had been: replayed, shared or refused.",
      tables.prevented,
      routes,
    ),
    histogram(
      "duplicate_age_seconds",
      "How long after its response was stored a request came again.",
      tables.duplicateAge,
    ),
    counter("observed_total", "What would have been done on routes that only observe.", tables.observed, watched),
    counter("config_reloads_total", "Attempts to reload the configuration.", tables.reloads, results),
    reading("buffered_bytes", "Bytes of request bodies held in memory.", sources.bufferedBytes),
  ];
}
