import * as command from "./command.js";
import { at, inDoubt, inFlight, isFlying, isVoid } from "./record.js";

/** One command, where its bytes lie, and the moment it is carried out. */
export interface Order {
  readonly bytes: Buffer;
  readonly from: number;
  readonly to: number;
  readonly nowMs: number;
}

export function isOwner(order: Order, record: Buffer): boolean {
  return (record[at.flags]! & isVoid) === 0 && equal(order.bytes, order.from + command.at.token, record, at.token, 16);
}

export function isAfter(order: Order, record: Buffer): boolean {
  return hasFlag(order, command.hasAfter) && equal(order.bytes, order.from + command.at.after, record, at.token, 8);
}

export function hasFlag(order: Order, flag: number): boolean {
  return (order.bytes[order.from + command.at.flags]! & flag) !== 0;
}

export function spanMsOf(order: Order): number {
  return order.bytes.readDoubleLE(order.from + command.at.spanMs);
}

export function retentionMsOf(order: Order): number {
  return order.bytes.readDoubleLE(order.from + command.at.retentionMs);
}

export function namesEndOf({ bytes, from }: Order): number {
  const routeLength = bytes.readUInt16LE(from + command.at.routeLength);
  return from + command.at.names + routeLength + bytes.readUInt16LE(from + command.at.namespaceLength);
}

export function payloadOf(order: Order): Buffer | undefined {
  return hasFlag(order, command.hasPayload) ? order.bytes.subarray(namesEndOf(order), order.to) : undefined;
}

export function isSameFingerprint(order: Order, record: Buffer): boolean {
  return equal(order.bytes, order.from + command.at.fingerprint, record, at.fingerprint, 32);
}

/** Whether this is still the record that an operator decided on; any is, to one who named none. */
export function isAsSeen(order: Order, record: Buffer): boolean {
  if (!hasFlag(order, command.hasSeen)) return true;
  const { bytes, from, nowMs } = order;
  const isOver = record[at.state] === inFlight && !isFlying(record, nowMs);
  return (
    bytes[from + command.at.seenState] === (isOver ? inDoubt : record[at.state]) &&
    bytes.readUInt32LE(from + command.at.seenAttempts) === record.readUInt32LE(at.attempts) &&
    bytes.readDoubleLE(from + command.at.seenUpdatedAtMs) ===
      record.readDoubleLE(isOver ? at.leaseEndsAtMs : at.updatedAtMs)
  );
}

function equal(a: Buffer, aFrom: number, b: Buffer, bFrom: number, length: number): boolean {
  for (let index = 0; index < length; index++) if (a[aFrom + index] !== b[bFrom + index]) return false;
  return true;
}
