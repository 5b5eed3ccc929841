import type { Config } from "../src/config/config.js";
import type { Policy, Route, Upstream } from "../src/model.js";

/** PRODUCT's defaults, compiled by hand, for tests of rooms that read a configuration and do not load one. */
export const samplePolicy: Policy = {
  key: {
    sources: [{ from: "header", name: "Idempotency-Key" }],
    isFirstOf: false,
    required: true,
    maxLength: 255,
    pattern: /^[!-+\--~]+$/,
    strict: false,
    forward: true,
    age: null,
  },
  scope: [{ from: "client", withHost: true, optional: false }],
  namespace: "pay",
  fingerprint: { body: "bytes", ignore: [], headers: [], query: true },
  concurrency: "wait",
  waitTimeoutMs: 30_000,
  maxWaiters: 1000,
  leaseMs: 15_000,
  retentionMs: 86_400_000,
  inDoubtRetentionMs: 30 * 86_400_000,
  outcomes: { when: [], release: new Set([401, 503]), unknown: new Set([502, 504]) },
  inDoubt: "hold",
  probe: null,
  storeUnavailable: "reject",
  maxStoredBytes: 1024,
  streamTypes: ["text/event-stream"],
  streamPattern: /^text\/event-stream/,
  omitHeaders: new Set(),
  replayHeader: "Idempotent-Replayed",
  mode: "enforce",
};

export function sampleUpstream(origin: string, changes: Partial<Upstream> = {}): Upstream {
  return {
    origin,
    timeoutMs: 30_000,
    connectTimeoutMs: 2000,
    connections: 64,
    keepAliveMs: 60_000,
    retryUnsentMs: 0,
    preserveHost: true,
    tls: null,
    ...changes,
  };
}

export function sampleRoute(name: string, policy: Partial<Policy> | null = {}): Route {
  return {
    name,
    match: {
      methods: new Set(["POST"]),
      host: "api.example.com",
      path: `/v1/${name}`,
      caseSensitive: false,
      ambiguousPaths: "auto",
    },
    upstream: sampleUpstream("http://upstream.internal:3000"),
    cors: null,
    policy: policy === null ? null : { ...samplePolicy, namespace: name, ...policy },
  };
}

export function sampleConfig(changes: Partial<Config> = {}): Config {
  return {
    server: {
      host: "127.0.0.1",
      port: 0,
      workers: 1,
      fastPath: true,
      drainTimeoutMs: 30_000,
      trustProxy: false,
      tls: null,
      limits: {
        requestBodyBytes: 1_048_576,
        bufferedBodiesBytes: 268_435_456,
        headersTimeoutMs: 15_000,
        requestTimeoutMs: 60_000,
        connections: 10_000,
        pipelined: 16,
      },
    },
    admin: { host: "127.0.0.1", port: 0, token: null },
    store: { type: "embedded", path: "./data" },
    logging: { level: "info", format: "json" },
    problems: { typeBase: "urn:idempotency-gateway:problem:", types: {} },
    routes: [sampleRoute("pay")],
    certificates: [],
    ...changes,
  };
}
