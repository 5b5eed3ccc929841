import { isIP } from "node:net";
import type { Cors, Policy, Probe, Route, Upstream } from "../model.js";
import { compileOutcomes } from "./compile-outcomes.js";
import type { Config, StoreConfig } from "./config.js";
import { isFirstOf, placesOf } from "./key-places.js";
import { valid } from "./parsed.js";
import type { RouteSettings, Settings } from "./schema.js";
import { parsePointer, parseScopeSource, parseSource } from "./source.js";
import { streamPattern } from "./stream-pattern.js";
import { methodsOf } from "./validate-route.js";

/** What compiling needs besides the settings. */
export interface Surroundings {
  readonly tls: Config["server"]["tls"];
  /** Of each route. */
  readonly upstreamTls: readonly Upstream["tls"][];
  readonly certificates: Config["certificates"];
  /** Makes a path of the configuration file absolute. */
  readonly resolve: (path: string) => string;
}

/** Of settings without a mistake only. */
export function compile(settings: Settings, routes: readonly RouteSettings[], around: Surroundings): Config {
  const { server, admin, logging, problems } = settings;
  const { limits } = server;
  return freeze({
    server: {
      host: server.host,
      port: server.port,
      workers: server.workers === "auto" ? "auto" : Number(server.workers),
      fastPath: server.fastPath,
      drainTimeoutMs: server.drainTimeout,
      trustProxy: typeof server.trustProxy === "boolean" ? server.trustProxy : server.trustProxy.map(block),
      tls: around.tls,
      limits: {
        requestBodyBytes: limits.requestBody,
        bufferedBodiesBytes: limits.bufferedBodies,
        // node refuses a head that may take longer than the whole request.
        headersTimeoutMs: Math.min(limits.headersTimeout, limits.requestTimeout),
        requestTimeoutMs: limits.requestTimeout,
        connections: limits.connections,
        pipelined: limits.pipelined,
      },
    },
    admin: { host: admin.host, port: admin.port, token: admin.token === "" ? null : admin.token },
    store: compileStore(settings.store, around.resolve),
    logging: { level: logging.level, format: logging.format },
    problems: { typeBase: problems.typeBase, types: problems.types },
    routes: routes.map((route, index) => compileRoute(route, around.upstreamTls[index] ?? null)),
    certificates: around.certificates,
  });
}

function compileStore(store: Settings["store"], resolve: (path: string) => string): StoreConfig {
  if (store.type === "embedded") return { type: "embedded", path: resolve(store.path) };
  return {
    type: "redis",
    url: store.url,
    sentinel: store.sentinel ?? null,
    cluster: store.cluster ?? null,
    keyPrefix: store.keyPrefix,
    commandTimeoutMs: store.commandTimeout,
    waitReplicas: store.waitReplicas,
    requireNoEviction: store.requireNoEviction,
    locks: { nodes: store.locks.nodes },
  };
}

function compileRoute(route: RouteSettings, tls: Upstream["tls"]): Route {
  const { name, match, upstream, cors, idempotency } = route;
  const methods = methodsOf(route);
  return {
    name,
    match: {
      methods: methods && new Set(methods),
      host: match.host === undefined ? null : new URL(`http://${match.host}`).hostname,
      path: match.path,
      caseSensitive: match.caseSensitive,
      ambiguousPaths: match.ambiguousPaths,
    },
    upstream: {
      origin: new URL(upstream.url).origin,
      timeoutMs: upstream.timeout,
      connectTimeoutMs: upstream.connectTimeout,
      connections: upstream.connections,
      keepAliveMs: upstream.keepAlive,
      retryUnsentMs: upstream.retryUnsent,
      preserveHost: upstream.preserveHost,
      tls,
    },
    cors: compileCors(cors),
    policy: idempotency === undefined ? null : compilePolicy(name, idempotency, match.host === undefined),
  };
}

function compileCors({ allowOrigins, allowCredentials }: RouteSettings["cors"]): Cors | null {
  if (allowOrigins.length === 0) return null;
  return { origins: allowOrigins.includes("*") ? "any" : new Set(allowOrigins), credentials: allowCredentials };
}

type PolicySettings = NonNullable<RouteSettings["idempotency"]>;

function compilePolicy(route: string, settings: PolicySettings, isForEveryHost: boolean): Policy {
  const { key, fingerprint, outcomes, response } = settings;
  return {
    key: compileKey(key),
    scope: settings.scope.map((written) => valid(parseScopeSource(written, isForEveryHost))),
    namespace: settings.namespace ?? route,
    fingerprint: {
      body: fingerprint.body,
      ignore: fingerprint.ignore.map(pointer),
      headers: fingerprint.headers.map((header) => header.toLowerCase()),
      query: fingerprint.query,
    },
    concurrency: settings.concurrency,
    waitTimeoutMs: settings.waitTimeout,
    maxWaiters: settings.maxWaiters,
    leaseMs: settings.lease,
    retentionMs: settings.retention,
    inDoubtRetentionMs: Math.max(settings.inDoubtRetention, settings.retention),
    outcomes: compileOutcomes(outcomes),
    inDoubt: settings.inDoubt,
    probe: settings.inDoubt === "probe" && settings.probe ? compileProbe(settings.probe) : null,
    storeUnavailable: settings.storeUnavailable,
    maxStoredBytes: response.maxStored,
    streamTypes: response.stream,
    streamPattern: streamPattern(response.stream),
    omitHeaders: new Set(response.omitHeaders.map((header) => header.toLowerCase())),
    replayHeader: settings.replayHeader,
    mode: settings.mode,
  };
}

function compileKey(key: PolicySettings["key"]): Policy["key"] {
  const { maxAge, bornFrom } = key;
  return {
    sources: placesOf(key.from).map((written) => valid(parseSource(written))),
    isFirstOf: isFirstOf(key.from),
    required: key.required,
    maxLength: key.maxLength,
    pattern: new RegExp(key.pattern),
    strict: key.strict,
    forward: key.forward,
    age: maxAge === undefined ? null : { maxAgeMs: maxAge, header: bornHeaderOf(bornFrom ?? "key") },
  };
}

/** `null`: it is read from the key itself. */
function bornHeaderOf(bornFrom: string): string | null {
  return bornFrom === "key" ? null : bornFrom.slice("header:".length).toLowerCase();
}

function compileProbe({ method, url, done, notDone }: NonNullable<PolicySettings["probe"]>): Probe {
  return { method, url, done: new Set(done), notDone: new Set(notDone) };
}

/** A single address is a block of one. */
function block(written: string): string {
  if (written.includes("/")) return written;
  return `${written}/${isIP(written) === 4 ? 32 : 128}`;
}

function pointer(written: string): readonly string[] {
  return valid(parsePointer(written));
}

/** Deeply; a `Set` keeps its methods and is read-only by its type alone. */
function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) freeze(inner);
  return Object.freeze(value);
}
