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
  return isSettledState(record[at.state]!);
}

export function isSettledState(state: number): boolean {
  return state >= completed;
}

export function expiresAtMs(record: Buffer): number {
  return record.readDoubleLE(at.expiresAtMs);
}

export function routeOf(record: Buffer): string {
  return record.toString("utf8", at.names, at.names + record.readUInt16LE(at.routeLength));
}

/** In flight, and its lease not over: whoever looks later sees it in doubt. */
export function isFlying(record: Buffer, nowMs: number): boolean {
  return record[at.state] === inFlight && nowMs < record.readDoubleLE(at.leaseEndsAtMs);
}

export function stateCode(state: RecordState): number {
  return stateNames.indexOf(state);
}

/** As an operator sees it; a free record is none. */
export function stateOf(record: Buffer, nowMs: number): RecordState | undefined {
  const code = record[at.state]!;
  if (code === inFlight && !isFlying(record, nowMs)) return "in_doubt";
  return stateNames[code] ?? undefined;
}

/** Made from a record's bytes up to `payloadAt` at least; for its response, from all of them. */
export function viewOf(record: Buffer, nowMs: number, withResponse: boolean): RecordView | undefined {
  const state = stateOf(record, nowMs);
  if (state === undefined) return undefined;
  const code = record[at.state]!;
  const isOver = code === inFlight && state === "in_doubt";
  const route = routeOf(record);
  const end = payloadAt(record);
  return {
    key: record.toString("hex", at.id, at.id + 32) as RecordKey,
    route,
    namespace: record.toString("utf8", at.names + record.readUInt16LE(at.routeLength), end),
    keyHash: record.toString("hex", at.keyHash, at.keyHash + 32) as KeyHash,
    state,
    fingerprint: record.toString("hex", at.fingerprint, at.fingerprint + 32) as Fingerprint,
    attempts: record.readUInt32LE(at.attempts),
    status: isSettled(record) ? record.readUInt16LE(at.status) : null,
    cause: isOver ? "lease_expired" : (causes[record[at.cause]!] ?? null),
    createdAtMs: record.readDoubleLE(at.createdAtMs),
    updatedAtMs: record.readDoubleLE(isOver ? at.leaseEndsAtMs : at.updatedAtMs),
    expiresAtMs: expiresAtMs(record),
    ...(withResponse && code === completed ? { response: decodeResponse(record.subarray(end)) } : {}),
  };
}
