import type { Resolution } from "../store/record-store.js";
import { invalid } from "./refusal.js";

/** What the record's route says about a response, or its defaults where the route is gone. */
export interface ResponseLimits {
  readonly retentionMs: number;
  readonly maxStoredBytes: number;
  readonly replayHeader: string;
}

type Members = Readonly<Record<string, unknown>>;

/** RFC 9110 §7.6.1 and what frames a message: the gateway frames each answer for its own connection. */
const framing: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** Written for each answer. They may be given, since a record that is shown has them. */
const derived: ReadonlySet<string> = new Set(["content-length", "trailer"]);

/** RFC 9110 §15.3.5, §15.3.6, §15.4.5. */
const bodyless: ReadonlySet<number> = new Set([204, 205, 304]);

/** An operator's decision, read strictly: it is replayed to clients that cannot see who made it. */
export function readResolution(body: unknown, limits: ResponseLimits): Resolution {
  const { outcome, response } = members(body, "the body", ["outcome", "response", "reason"]);
  if (outcome === "not-done") {
    if (response !== undefined) throw invalid('"response" goes with the outcome "done" only.');
    return { kind: "notDone" };
  }
  if (outcome !== "done") throw invalid('"outcome" is "done" or "not-done".');
  const given = members(response, '"response"', ["status", "reason", "headers", "body", "bodyEncoding", "trailers"]);
  const status = readStatus(given.status);
  const bytes = readBody(given);
  if (bytes.length > 0 && bodyless.has(status)) throw invalid(`A response with status ${status} has no body.`);
  if (bytes.length > limits.maxStoredBytes) {
    throw invalid(`The route stores responses up to ${limits.maxStoredBytes} bytes; this one has ${bytes.length}.`);
  }
  const headers = readHeaders(given.headers, "headers", limits.replayHeader);
  const trailers = readHeaders(given.trailers, "trailers", limits.replayHeader);
  if (trailers.length > 0 && bodyless.has(status)) throw invalid(`A response with status ${status} has no trailers.`);
  return {
    kind: "done",
    response: { status, reason: readReason(given.reason), headers, body: bytes, trailers },
    retentionMs: limits.retentionMs,
  };
}

/** Those of a JSON object; unknown ones are refused by name. */
export function members(value: unknown, what: string, known: readonly string[]): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(`${what} is a JSON object.`);
  const unknown = Object.keys(value).filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw invalid(`${what} has unknown members: ${unknown.join(", ")}; known are ${known.join(", ")}.`);
  }
  return value as Members;
}

function readStatus(status: unknown): number {
  if (!Number.isInteger(status) || (status as number) < 200 || (status as number) > 599) {
    throw invalid('"response.status" is a whole number from 200 to 599.');
  }
  return status as number;
}

/** RFC 9112 §4: no control characters but a tab. */
function readReason(reason: unknown): string {
  if (reason === undefined) return "";
  if (typeof reason !== "string" || !isFieldText(reason)) throw invalid('"response.reason" is one line of text.');
  return reason;
}

function readBody({ body, bodyEncoding }: Members): Buffer {
  if (bodyEncoding !== undefined && bodyEncoding !== "utf8" && bodyEncoding !== "base64") {
    throw invalid('"response.bodyEncoding" is "utf8" or "base64".');
  }
  if (body === undefined) return Buffer.alloc(0);
  if (typeof body !== "string") throw invalid('"response.body" is a string: JSON goes into it as text.');
  if (bodyEncoding !== "base64") return Buffer.from(body);
  // Node decodes what it can and drops the rest.
  const bytes = Buffer.from(body, "base64");
  if (bytes.toString("base64") !== body) throw invalid('"response.body" is not base64 (RFC 4648 §4).');
  return bytes;
}

/** `{"Name": "value"}`, `{"Name": ["first", "second"]}` or `[["Name", "value"], …]`. */
function readHeaders(headers: unknown, member: "headers" | "trailers", replayHeader: string): string[] {
  if (headers === undefined) return [];
  const pairs: unknown[] = Array.isArray(headers)
    ? headers
    : Object.entries(members(headers, `"response.${member}"`, Object.keys(headers ?? {}))).flatMap(([name, value]) =>
        Array.isArray(value) ? value.map((one) => [name, one]) : [[name, value]],
      );
  return pairs.flatMap((pair) => readHeader(pair, member, replayHeader));
}

function readHeader(pair: unknown, member: string, replayHeader: string): readonly string[] {
  const [name, value] = Array.isArray(pair) && pair.length === 2 ? pair : [];
  if (typeof name !== "string" || typeof value !== "string") {
    throw invalid(`"response.${member}" gives a string, or a list of strings, for each name; or is a list of pairs.`);
  }
  if (!/^[!#$%&'*+\-.^_`|~\da-z]+$/i.test(name)) throw invalid(`${JSON.stringify(name)} is not the name of a header.`);
  const lower = name.toLowerCase();
  if (derived.has(lower)) return [];
  if (framing.has(lower)) throw invalid(`"${name}" frames a message on its connection: the gateway writes it itself.`);
  if (lower === replayHeader.toLowerCase()) throw invalid(`"${name}" is the gateway's own mark of a replay.`);
  if (!isFieldText(value)) throw invalid(`The value of "${name}" has characters that no header may have.`);
  return [name, value];
}

/** RFC 9110 §5.5, as Latin-1. */
function isFieldText(text: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text);
}
