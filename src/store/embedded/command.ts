import type { Lease } from "../../model.js";
import type { Seen } from "../record-store.js";
import { stateCode } from "./record.js";

/*
 * A command from the gateway's thread to the writer's, little-endian:
 *
 *    0  verb                          32  id, 32
 *    1  flags                         64  token, 16
 *    2  status or cause, u16          80  fingerprint, 32
 *    8  lease or landing, f64, ms    112  hash of the key, 32
 *   16  retention, f64, ms           144  lengths of route and namespace, u16 each
 *   24  flight waited for, 8         148  both, UTF-8, then the payload to the end
 *
 * Of an operator's write, the record that was seen: at 8 when it changed, at 24 its attempts, u32, at 28 its state.
 *
 * From the token to the namespace it is as in a record (`record.ts`), so that a claim is copied there in one piece.
 */
export const at = {
  verb: 0,
  flags: 1,
  detail: 2,
  spanMs: 8,
  retentionMs: 16,
  after: 24,
  seenUpdatedAtMs: 8,
  seenAttempts: 24,
  seenState: 28,
  id: 32,
  token: 64,
  fingerprint: 80,
  keyHash: 112,
  routeLength: 144,
  namespaceLength: 146,
  names: 148,
} as const;

export const verbs = [
  "claim",
  "extend",
  "complete",
  "withdraw",
  "release",
  "strand",
  "peek",
  "forget",
  "resolve",
  "ping",
  "list",
  "close",
  "parcel",
] as const;
export type Verb = (typeof verbs)[number];

export const code = Object.fromEntries(verbs.map((verb, index) => [verb, index])) as Record<Verb, number>;

export const mayTake = 1;
export const hasAfter = 2;
export const hasPayload = 4;
export const isNotReplayable = 8;
export const hasSeen = 16;

/** Who and what a claim is for, or a completion from nothing. */
export interface Particulars {
  readonly fingerprint: string;
  readonly keyHash: string;
  readonly route: string;
  readonly namespace: string;
}

/** Everything a command may say; what a verb does not need is left out. */
export interface Command {
  readonly verb: Verb;
  readonly lease: Lease;
  readonly flags?: number;
  readonly detail?: number;
  readonly spanMs?: number;
  readonly retentionMs?: number;
  readonly after?: string | undefined;
  readonly seen?: Seen | undefined;
  readonly particulars?: Particulars;
  readonly payload?: Buffer | undefined;
}

/** Exactly as many bytes as `writeCommand` will write. */
export function sizeOf(command: Command): number {
  const { particulars, payload } = command;
  const names =
    particulars === undefined ? 0 : Buffer.byteLength(particulars.route) + Buffer.byteLength(particulars.namespace);
  if (names > 0xffff) throw new RangeError("the names of route and namespace are too long");
  return at.names + names + (payload?.length ?? 0);
}

export function writeCommand(command: Command, to: Buffer, from: number): void {
  to[from] = code[command.verb];
  to[from + at.flags] = (command.flags ?? 0) | (command.payload === undefined ? 0 : hasPayload);
  to.writeUInt16LE(command.detail ?? 0, from + at.detail);
  to.writeDoubleLE(command.spanMs ?? 0, from + at.spanMs);
  to.writeDoubleLE(command.retentionMs ?? 0, from + at.retentionMs);
  if (command.after !== undefined) {
    to[from + at.flags]! |= hasAfter;
    to.write(command.after, from + at.after, 8, "hex");
  }
  if (command.seen !== undefined) {
    to[from + at.flags]! |= hasSeen;
    to.writeDoubleLE(command.seen.updatedAtMs, from + at.seenUpdatedAtMs);
    to.writeUInt32LE(command.seen.attempts, from + at.seenAttempts);
    to[from + at.seenState] = stateCode(command.seen.state);
  }
  to.write(command.lease.key, from + at.id, 32, "hex");
  to.write(command.lease.token, from + at.token, 16, "hex");
  let end = from + at.names;
  let routeLength = 0;
  let namespaceLength = 0;
  if (command.particulars !== undefined) {
    const { fingerprint, keyHash, route, namespace } = command.particulars;
    to.write(fingerprint, from + at.fingerprint, 32, "hex");
    to.write(keyHash, from + at.keyHash, 32, "hex");
    routeLength = to.write(route, end);
    namespaceLength = to.write(namespace, end + routeLength);
    end += routeLength + namespaceLength;
  }
  to.writeUInt16LE(routeLength, from + at.routeLength);
  to.writeUInt16LE(namespaceLength, from + at.namespaceLength);
  if (command.payload !== undefined) to.set(command.payload, end);
}
