import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Config } from "../config/config.js";
import type { EventHub } from "../events.js";
import type { RecordKey, RecordState } from "../model.js";
import type { RecordStore, RecordView } from "../store/record-store.js";
import { whoAsks } from "./access.js";
import { etagOf, readCondition, readReason, recordChanged } from "./condition.js";
import { findRecords, readListQuery } from "./list-query.js";
import { recordJson, responseJson } from "./record-json.js";
import { invalid, Refusal } from "./refusal.js";
import { members, type ResponseLimits, readResolution } from "./resolution.js";
import { type RecallSightings, timelineJson } from "./timeline.js";

export interface RecordParts {
  readonly config: () => Config;
  readonly store: RecordStore;
  readonly hub: EventHub;
  readonly recall: RecallSightings;
}

/** For records whose route is not configured any more. */
const goneRoute: ResponseLimits = {
  retentionMs: 24 * 60 * 60 * 1000,
  maxStoredBytes: 1024 * 1024,
  replayHeader: "Idempotent-Replayed",
};

/** `/v1/records…`: looking is free, every write is audited, whatever came of it. */
export function addRecords(app: FastifyInstance, parts: RecordParts): void {
  const { store } = parts;

  app.get("/v1/records", async (request) => {
    const { records, cursor } = await findRecords(store, readListQuery(request.query));
    return { records: records.map(recordJson), cursor };
  });

  app.get("/v1/records/:id", async (request, reply) => {
    const key = readKey(request);
    const withResponse = readFlag(request, "body");
    const view = await store.peek(key, withResponse);
    if (view === undefined) throw noRecord(key);
    reply.header("ETag", etagOf(view));
    if (!withResponse) return recordJson(view);
    return { ...recordJson(view), response: view.response === undefined ? null : responseJson(view.response) };
  });

  app.get("/v1/records/:id/timeline", async (request) => {
    const key = readKey(request);
    const [view, recall] = await Promise.all([store.peek(key, false), parts.recall(key.slice(0, 8))]);
    if (view === undefined && recall.seen.length === 0) throw noRecord(key);
    return timelineJson(key, view, recall);
  });

  app.delete("/v1/records/:id", async (request, reply) => {
    const key = readKey(request);
    const given = request.body === undefined ? {} : members(request.body, "the body", ["reason"]);
    const write = { action: "delete", key, reason: readReason(given.reason) };
    const seen = isConditional(request) ? readCondition(request, await found(store, key)) : undefined;
    const result = await audited(parts, request, write, () => store.forget(key, seen));
    if (result === "absent") throw noRecord(key);
    if (result === "moved") throw recordChanged();
    if (result === "inFlight") {
      throw new Refusal({
        code: "record-in-flight",
        detail: "Its request is being processed: wait until it has ended.",
      });
    }
    return reply.code(204).send();
  });

  app.post("/v1/records/:id/resolve", async (request) => {
    const key = readKey(request);
    const view = await found(store, key);
    const resolution = readResolution(request.body, limitsOf(parts.config(), view.route));
    const { reason } = request.body as { reason?: unknown };
    const outcome = resolution.kind === "done" ? "done" : "not-done";
    const write = { action: `resolve ${outcome}`, key, reason: readReason(reason) };
    const seen = readCondition(request, view);
    if (view.state !== "in_doubt") throw notInDoubt(view.state);
    const result = await audited(parts, request, write, () => store.resolve(key, resolution, seen));
    if (result === "absent") throw noRecord(key);
    if (result === "moved") throw recordChanged();
    if (result === "notInDoubt") throw notInDoubt();
    return { id: key, outcome };
  });
}

interface Write {
  readonly action: string;
  readonly key: RecordKey;
  readonly reason: string | undefined;
}

async function audited<R extends string>(
  { config, hub }: RecordParts,
  request: FastifyRequest,
  { action, key, reason }: Write,
  write: () => Promise<R>,
): Promise<R> {
  // Overwritten when the store answers; a write that went unanswered may have happened.
  let result = "unanswered";
  try {
    const answer = await write();
    result = answer;
    return answer;
  } finally {
    const who = whoAsks(request, config().admin);
    hub.emit("audit", { who, action, key: key.slice(0, 8), result, ...(reason === undefined ? {} : { reason }) });
  }
}

async function found(store: RecordStore, key: RecordKey): Promise<RecordView> {
  const view = await store.peek(key, false);
  if (view === undefined) throw noRecord(key);
  return view;
}

/** Without a condition a deletion asks the store once and no more. */
function isConditional(request: FastifyRequest): boolean {
  return request.headers["if-match"] !== undefined;
}

function limitsOf({ routes }: Config, name: string): ResponseLimits {
  return routes.find((route) => route.name === name)?.policy ?? goneRoute;
}

function readKey(request: FastifyRequest): RecordKey {
  const { id } = request.params as { id: string };
  if (!/^[\da-f]{64}$/i.test(id)) {
    throw new Refusal({ code: "not-found", detail: "A record id has 64 hexadecimal digits." });
  }
  return id.toLowerCase() as RecordKey;
}

function readFlag(request: FastifyRequest, name: string): boolean {
  const value = (request.query as Record<string, unknown>)[name] ?? "false";
  if (value !== "true" && value !== "false") throw invalid(`"${name}" is true or false.`);
  return value === "true";
}

function noRecord(key: RecordKey): Refusal {
  return new Refusal({ code: "not-found", detail: `There is no record ${key.slice(0, 8)}….` });
}

function notInDoubt(state?: RecordState): Refusal {
  const now = state === undefined ? "it was settled meanwhile" : `it is ${state}`;
  return new Refusal({ code: "record-not-in-doubt", detail: `Only a record in doubt can be resolved; ${now}.` });
}
