import * as command from "./command.js";
import { hasFlag, namesEndOf, type Order, retentionMsOf, spanMsOf } from "./order.js";
import { at, completed, free, inDoubt, isVoid, leaseExpired, notReplayable, payloadAt } from "./record.js";

/*
 * What a record becomes. Each of these makes new bytes: others may hold the old ones.
 */

/** The record a claim or a completion describes, with everything else zero. */
export function blank(order: Order, payload: Buffer | undefined): Buffer {
  const { bytes, from } = order;
  const namesEnd = namesEndOf(order);
  const head = namesEnd - from - command.at.token;
  const record = Buffer.allocUnsafe(at.token + head + (payload?.length ?? 0));
  record.fill(0, 0, at.token);
  bytes.copy(record, at.id, from + command.at.id, from + command.at.id + 32);
  bytes.copy(record, at.token, from + command.at.token, namesEnd);
  if (payload !== undefined) record.set(payload, at.token + head);
  return record;
}

export function beginLease(order: Order, record: Buffer): void {
  const endsAtMs = order.nowMs + spanMsOf(order);
  record.writeDoubleLE(endsAtMs, at.leaseEndsAtMs);
  record.writeDoubleLE(endsAtMs + retentionMsOf(order), at.expiresAtMs);
  if (record.readDoubleLE(at.updatedAtMs) === 0) record.writeDoubleLE(order.nowMs, at.updatedAtMs);
}

/** In doubt since its lease ended. How an earlier flight landed is no news any more. */
export function expired(record: Buffer): Buffer {
  const next = withPayload(record, undefined);
  next[at.state] = inDoubt;
  next[at.cause] = leaseExpired;
  record.copy(next, at.updatedAtMs, at.leaseEndsAtMs, at.leaseEndsAtMs + 8);
  return next;
}

export function finish(order: Order, record: Buffer, payload: Buffer | undefined): Buffer {
  const next = withPayload(record, payload);
  next[at.state] = hasFlag(order, command.isNotReplayable) ? notReplayable : completed;
  next[at.cause] = next[at.causeBefore] = 0;
  next.writeUInt16LE(order.bytes.readUInt16LE(order.from + command.at.detail), at.status);
  next.writeDoubleLE(order.nowMs, at.updatedAtMs);
  next.writeDoubleLE(order.nowMs + retentionMsOf(order), at.expiresAtMs);
  return next;
}

export function freed(record: Buffer, landing: Buffer | undefined): Buffer {
  const next = withPayload(record, landing);
  next[at.state] = free;
  next[at.cause] = next[at.causeBefore] = 0;
  return next;
}

/** Free, and no lease fits any more; stays for as long as it would have, so that a late owner hears `lost`. */
export function voided(record: Buffer): Buffer {
  const next = freed(record, undefined);
  next[at.flags]! |= isVoid;
  return next;
}

export function patched(record: Buffer, patch: (next: Buffer) => void): Buffer {
  const next = Buffer.allocUnsafe(record.length);
  record.copy(next);
  patch(next);
  return next;
}

export function withPayload(record: Buffer, payload: Buffer | undefined): Buffer {
  const head = payloadAt(record);
  const next = Buffer.allocUnsafe(head + (payload?.length ?? 0));
  record.copy(next, 0, 0, head);
  if (payload !== undefined) next.set(payload, head);
  return next;
}
