import { randomBytes } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { createAdmin } from "../../src/admin/server.js";
import type { Recall } from "../../src/admin/timeline.js";
import type { Config } from "../../src/config/config.js";
import { EventHub, type Events } from "../../src/events.js";
import type { Fingerprint, RecordKey, RecordState, StoredResponse } from "../../src/model.js";
import { keyHash } from "../../src/rules/key-hash.js";
import { type RecordStore, StoreUnavailableError } from "../../src/store/record-store.js";
import { sampleConfig } from "../sample-config.js";
import { MemoryStore } from "../store/memory-store.js";

export const created: StoredResponse = {
  status: 201,
  reason: "Created",
  headers: ["Content-Type", "application/json", "Set-Cookie", "a=1", "Set-Cookie", "b=2"],
  body: Buffer.from('{"id":9007199254740993}'),
  trailers: [],
};

/** An admin port over the reference store, and what it told. */
export interface SampleAdmin {
  readonly app: FastifyInstance;
  readonly store: MemoryStore;
  readonly audits: Events["audit"][];
  readonly faults: Events["fault"][];
  /** What the processes are said to have seen. */
  recall: Recall;
  readonly ready: { storeAnswered: boolean; storeUp: boolean; draining: boolean };
  /** What the next requests find in force. */
  config: Config;
}

export function sampleAdmin(
  changes: Partial<Config> = {},
  wrap = (store: RecordStore) => store,
  metrics = { scrape: async () => "sample_total 1\n" },
): SampleAdmin {
  const hub = new EventHub();
  const store = new MemoryStore();
  const audits: Events["audit"][] = [];
  const faults: Events["fault"][] = [];
  hub.on("audit", (event) => audits.push(event));
  hub.on("fault", (event) => faults.push(event));
  const ready = { storeAnswered: true, storeUp: true, draining: false };
  const app = createAdmin({
    config: () => sample.config,
    store: wrap(store),
    hub,
    metrics: { ...metrics, contentType: "text/plain; version=0.0.4; charset=utf-8" },
    readiness: {
      storeAnswered: () => ready.storeAnswered,
      storeUp: () => ready.storeUp,
      draining: () => ready.draining,
    },
    recall: async () => sample.recall,
  });
  const recall = { sinceMs: 1_700_000_000_000, processes: 1, silent: 0, seen: [] };
  const sample: SampleAdmin = { recall, app, store, audits, faults, ready, config: sampleConfig(changes) };
  return sample;
}

/** Puts a record into the store, and returns its id. */
export async function seed(
  store: RecordStore,
  state: RecordState,
  {
    route = "pay",
    key = "order-1",
    id = randomBytes(32).toString("hex"),
    response = created,
  }: { route?: string; key?: string; id?: string; response?: StoredResponse } = {},
): Promise<string> {
  const lease = { key: id as RecordKey, token: randomBytes(16).toString("hex") };
  const origin = {
    fingerprint: "f1".repeat(32) as Fingerprint,
    retentionMs: 86_400_000,
    openRetentionMs: 30 * 86_400_000,
    route,
    namespace: route,
    keyHash: keyHash([key]),
  };
  await store.claim({ ...origin, lease, leaseMs: 15_000, mayTake: false });
  if (state === "completed") await store.complete(lease, { kind: "response", response }, origin);
  if (state === "in_doubt") await store.strand(lease, "timeout", undefined, origin);
  if (state === "not_replayable") {
    await store.complete(lease, { kind: "notReplayable", status: 200, headers: [] }, origin);
  }
  return id;
}

/** A store that nobody can reach any more. */
export function unreachable(store: RecordStore): RecordStore {
  return new Proxy(store, {
    get: (_, operation) => () => Promise.reject(new StoreUnavailableError(String(operation), true)),
  });
}
