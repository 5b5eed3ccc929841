import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Config } from "../config/config.js";
import type { EventHub } from "../events.js";
import type { RecordKey, RecordState } from "../model.js";
import type { RecordStore } from "../store/record-store.js";
import { whoAsks } from "./access.js";
import { findRecords, readListQuery } from "./list-query.js";
import { recordJson, responseJson } from "./record-json.js";
import { invalid, Refusal } from "./refusal.js";
import { type ResponseLimits, readResolution } from "./resolution.js";

export interface RecordParts {
  readonly config: () => Config;
  readonly store: RecordStore;
  readonly hub: EventHub;
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

  app.get("/v1/records/:id", async (request) => {
    const key = readKey(request);
    const withResponse = readFlag(request, "body");
    const view = await store.peek(key, withResponse);
    if (view === undefined) throw noRecord(key);
    if (!withResponse) return recordJson(view);
    return { ...recordJson(view), response: view.response === undefined ? null : responseJson(view.response) };
  });

  app.delete("/v1/records/:id", async (request, reply) => {
    const key = readKey(request);
    const result = await audited(parts, request, "delete", key, () => store.forget(key));
    if (result === "absent") throw noRecord(key);
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
    const view = await store.peek(key, false);
    if (view === undefined) throw noRecord(key);
    const resolution = readResolution(request.body, limitsOf(parts.config(), view.route));
    if (view.state !== "in_doubt") throw notInDoubt(view.state);
    const outcome = resolution.kind === "done" ? "done" : "not-done";
    const result = await audited(parts, request, `resolve ${outcome}`, key, () => store.resolve(key, resolution));
    if (result === "absent") throw noRecord(key);
    if (result === "notInDoubt") throw notInDoubt();
    return { id: key, outcome };
  });
}

async function audited<R extends string>(
  { config, hub }: RecordParts,
  request: FastifyRequest,
  action: string,
  key: RecordKey,
  write: () => Promise<R>,
): Promise<R> {
  // Overwritten when the store answers; a write that went unanswered may have happened.
  let result = "unanswered";
  try {
    const answer = await write();
    result = answer;
    return answer;
  } finally {
    hub.emit("audit", { who: whoAsks(request, config().admin), action, key: key.slice(0, 8), result });
  }
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
