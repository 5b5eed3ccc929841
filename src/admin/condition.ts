import { createHash } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { isOneLine } from "../rules/one-line.js";
import type { RecordView } from "../store/record-store.js";
import { recordJson } from "./record-json.js";
import { invalid, Refusal } from "./refusal.js";

const maxReasonLength = 500;

/** Changes with everything that is shown of a record. */
export function etagOf(view: RecordView): string {
  return `"${createHash("sha256")
    .update(JSON.stringify(recordJson(view)))
    .digest("base64url")
    .slice(0, 22)}"`;
}

/**
 * RFC 9110 §13.1.1. Returns what the store has to find still: it compares within its own atomic step, so nothing can
 * come between this look and the write. A tag that a compressing proxy has marked weak is taken for the one it was.
 */
export function readCondition(request: FastifyRequest, view: RecordView): RecordView | undefined {
  const wanted = request.headers["if-match"];
  if (wanted === undefined) return undefined;
  if (wanted.trim() === "*") return view;
  const tags = wanted.split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  if (!tags.every((tag) => /^"[^"]*"$/.test(tag))) throw invalid('"If-Match" is the ETag of a record.');
  if (tags.includes(etagOf(view))) return view;
  throw recordChanged(view);
}

export function recordChanged(view?: RecordView): Refusal {
  const now = view === undefined ? "" : ` It is ${view.state} now, since ${new Date(view.updatedAtMs).toISOString()}.`;
  return new Refusal({
    code: "record-changed",
    detail: `The record has changed since it was looked at; nothing was written.${now}`,
  });
}

/** Why an operator does it, for the audit line. It is written as it is, so it is one line without control characters. */
export function readReason(reason: unknown): string | undefined {
  if (reason === undefined || reason === "") return undefined;
  if (typeof reason !== "string" || reason.length > maxReasonLength || !isOneLine(reason)) {
    throw invalid(`"reason" is one line of at most ${maxReasonLength} characters.`);
  }
  return reason;
}
