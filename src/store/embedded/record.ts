import type { DoubtCause, Fingerprint, KeyHash, RecordKey, RecordState } from "../../model.js";
import { decodeResponse } from "../codec.js";
import type { RecordView } from "../record-store.js";

/*
 * A record as it lies in the journal and in the trees, little-endian. The writer thread reads and patches it in place;
 * it is turned into an object only for people.
 *
 *    0  id, 32                     64  lease ends at, f64, ms since the epoch
 *   32  state                      72  status, u16
 *   33  cause of the doubt         80  token before it was taken over, 16
 *   34  cause before it was taken  96  token, 16
 *       over, 0 for none          112  fingerprint, 32
 *   35  flags                     144  hash of the key, 32
 *   36  attempts, u32             176  lengths of route and namespace, u16 each
 *   40  created at, f64           180  both, UTF-8, then the payload to the end: the response, or how the
 *   48  updated at, f64                flight landed, for those who waited
 *   56  expires at, f64
 */
export const at = {
  id: 0,
  state: 32,
  cause: 33,
  causeBefore: 34,
  flags: 35,
  attempts: 36,
  createdAtMs: 40,
  updatedAtMs: 48,
  expiresAtMs: 56,
  leaseEndsAtMs: 64,
  status: 72,
  tokenBefore: 80,
  token: 96,
  fingerprint: 112,
  keyHash: 144,
  routeLength: 176,
  namespaceLength: 178,
  names: 180,
} as const;

export const inFlight = 1;
export const inDoubt = 2;
export const free = 3;
export const completed = 4;
export const notReplayable = 5;

/** Flag: no lease fits any more, whatever its token. */
export const isVoid = 1;

export const causes: readonly (DoubtCause | null)[] = [
  null,
  "reset",
  "timeout",
  "status",
  "lease_expired",
  "lock_lost",
  "store_lost",
];
export const leaseExpired = causes.indexOf("lease_expired");

const stateNames: readonly (RecordState | null)[] = [
  null,
  "in_flight",
  "in_doubt",
  null,
  "completed",
  "not_replayable",
];

export function payloadAt(record: Buffer): number {
  return at.names + record.readUInt16LE(at.routeLength) + record.readUInt16LE(at.namespaceLength);
}

export function isSettled(record: Buffer): boolean {
  return record[at.state]! >= completed;
}

/** What `isSettled` needs no payload for: the view of a record, from its bytes up to `payloadAt` at least. */
export function viewOf(record: Buffer, nowMs: number, withResponse: boolean): RecordView | undefined {
  const code = record[at.state]!;
  const leaseEndsAtMs = record.readDoubleLE(at.leaseEndsAtMs);
  const isOver = code === inFlight && nowMs >= leaseEndsAtMs;
  const state = isOver ? "in_doubt" : stateNames[code];
  if (!state) return undefined;
  const namespaceAt = at.names + record.readUInt16LE(at.routeLength);
  const end = payloadAt(record);
  return {
    key: record.toString("hex", at.id, at.id + 32) as RecordKey,
    route: record.toString("utf8", at.names, namespaceAt),
    namespace: record.toString("utf8", namespaceAt, end),
    keyHash: record.toString("hex", at.keyHash, at.keyHash + 32) as KeyHash,
    state,
    fingerprint: record.toString("hex", at.fingerprint, at.fingerprint + 32) as Fingerprint,
    attempts: record.readUInt32LE(at.attempts),
    status: code >= completed ? record.readUInt16LE(at.status) : null,
    cause: isOver ? "lease_expired" : (causes[record[at.cause]!] ?? null),
    createdAtMs: record.readDoubleLE(at.createdAtMs),
    updatedAtMs: isOver ? leaseEndsAtMs : record.readDoubleLE(at.updatedAtMs),
    expiresAtMs: record.readDoubleLE(at.expiresAtMs),
    ...(withResponse && code === completed ? { response: decodeResponse(record.subarray(end)) } : {}),
  };
}
