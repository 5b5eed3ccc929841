import type { DoubtCause, Fingerprint, KeyHash, RecordKey, RecordState } from "../../model.js";
import { decodeResponse } from "../codec.js";
import type { RecordView, Seen } from "../record-store.js";

/** A newer version of this program wrote the record, and this one must not guess at its meaning. */
export class UnknownFormatError extends Error {
  override readonly name = "UnknownFormatError";
  constructor(format: string) {
    super(`the record has format ${format}, which this version does not know`);
  }
}

/** As `forget.lua` and `resolve.lua` compare it. */
export function seenText(seen: Seen | undefined): string {
  return seen === undefined ? "" : `${seen.state} ${seen.attempts} ${seen.updatedAtMs}`;
}

/** Reads what `peek.lua` returns. */
export function viewOf(key: RecordKey, reply: unknown[]): RecordView | undefined {
  if (reply.length === 0) return undefined;
  const response = reply[11] as Buffer;
  const texts = reply.slice(0, 11).map(String);
  const [state, route, namespace, keyHash, fingerprint, attempts, status, cause, created, changed, expires] = texts;
  return {
    key,
    route: route!,
    namespace: namespace!,
    keyHash: keyHash as KeyHash,
    state: state as RecordState,
    fingerprint: fingerprint as Fingerprint,
    attempts: Number(attempts),
    status: status === "" ? null : Number(status),
    cause: cause === "" ? null : (cause as DoubtCause),
    createdAtMs: Number(created),
    updatedAtMs: Number(changed),
    expiresAtMs: Number(expires),
    ...(response.length === 0 ? {} : { response: decodeResponse(response) }),
  };
}
