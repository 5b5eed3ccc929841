import { type AnswerWriter, kind } from "./answer.js";
import * as command from "./command.js";
import { beginLease, blank, expired, finish, freed, patched, voided, withPayload } from "./drafts.js";
import {
  hasFlag,
  isAfter,
  isAsSeen,
  isOwner,
  isSameFingerprint,
  type Order,
  payloadOf,
  retentionMsOf,
  spanMsOf,
} from "./order.js";
import {
  at,
  completed,
  expiresAtMs,
  free,
  inDoubt,
  inFlight,
  isFlying,
  isSettled,
  notReplayable,
  payloadAt,
} from "./record.js";

/** What becomes of the record: nothing, gone, or this. A record is never changed in place, others may hold it. */
export type Change = Buffer | "gone" | undefined;

/**
 * The law of the embedded store: what a command makes of a record, and what its caller is told. Pure but for the
 * answer, so that a batch that could not be written is carried out again from the start.
 *
 * `found` is what was stored last, also when it is over: an expired record is as good as none.
 */
export function carryOut(order: Order, found: Buffer | undefined, answer: AnswerWriter): Change {
  const record = found !== undefined && order.nowMs < expiresAtMs(found) ? found : undefined;
  switch (order.bytes[order.from]) {
    case command.code.claim:
      return claim(order, record, answer);
    case command.code.extend:
      return extend(order, record, answer);
    case command.code.complete:
      return complete(order, record, answer);
    case command.code.withdraw:
      return withdraw(order, record, answer);
    case command.code.release:
      return release(order, record, answer);
    case command.code.strand:
      return strand(order, record, answer);
    case command.code.forget:
      return forget(order, record, answer);
    case command.code.resolve:
      return resolve(order, record, answer);
    case command.code.peek:
      return peek(record, answer);
    default:
      answer.byte(kind.yes);
      return undefined;
  }
}

function claim(order: Order, record: Buffer | undefined, answer: AnswerWriter): Change {
  if (record === undefined) return take(order, undefined, answer, 0, 0);
  const state = record[at.state]!;
  if (state === free || state === inDoubt) {
    const payload = payloadAt(record);
    if (payload < record.length && isAfter(order, record)) {
      answer.byte(kind.landed).part(record, at.fingerprint, at.keyHash).blob(record, payload, record.length);
      return undefined;
    }
  }
  if (state === free) return take(order, record, answer, 0, 0);
  if (state === completed) {
    const ageMs = order.nowMs - record.readDoubleLE(at.updatedAtMs);
    answer.byte(kind.done).part(record, at.fingerprint, at.keyHash).number(Math.max(0, ageMs));
    answer.blob(record, payloadAt(record), record.length);
    return undefined;
  }
  if (state === notReplayable) {
    answer.byte(kind.notReplayable).part(record, at.fingerprint, at.keyHash).number(record.readUInt16LE(at.status));
    return undefined;
  }
  const isSame = isSameFingerprint(order, record);
  if (isFlying(record, order.nowMs)) {
    return claimHeld(order, record, isSame, answer);
  }
  const doubted = state === inFlight ? expired(record) : record;
  const cause = doubted[at.cause]!;
  const isExpired = doubted === record ? 0 : 1;
  if (isSame && hasFlag(order, command.mayTake)) return take(order, doubted, answer, cause, isExpired);
  answer.byte(kind.inDoubt).part(record, at.fingerprint, at.keyHash).byte(cause).byte(isExpired);
  return doubted === record ? undefined : doubted;
}

function claimHeld(order: Order, record: Buffer, isSame: boolean, answer: AnswerWriter): Change {
  if (isSame && isOwner(order, record)) {
    answer.byte(kind.won).number(record.readUInt32LE(at.attempts)).byte(record[at.causeBefore]!).byte(0);
    return patched(record, (next) => beginLease(order, next));
  }
  const remainingMs = record.readDoubleLE(at.leaseEndsAtMs) - order.nowMs;
  answer
    .byte(kind.held)
    .part(record, at.fingerprint, at.keyHash)
    .part(record, at.token, at.token + 8);
  answer.number(remainingMs);
  return undefined;
}

/**
 * In flight for this caller. What a record in doubt was before is kept, so that a withdrawal can put it back. Where the
 * doubted flight had taken a doubt over itself, nobody's token comes back: its own withdrawal would end the older doubt.
 */
function take(order: Order, old: Buffer | undefined, answer: AnswerWriter, cause: number, isExpired: number): Buffer {
  const wasInDoubt = old?.[at.state] === inDoubt;
  const attempts = (old?.readUInt32LE(at.attempts) ?? 0) + 1;
  const record = blank(order, wasInDoubt ? old.subarray(payloadAt(old)) : undefined);
  record[at.state] = inFlight;
  record.writeUInt32LE(attempts, at.attempts);
  record.writeDoubleLE(wasInDoubt ? old.readDoubleLE(at.createdAtMs) : order.nowMs, at.createdAtMs);
  beginLease(order, record);
  if (wasInDoubt) {
    record[at.causeBefore] = cause;
    if (old[at.causeBefore] === 0) old.copy(record, at.tokenBefore, at.token, at.token + 16);
  }
  answer.byte(kind.won).number(attempts).byte(cause).byte(isExpired);
  return record;
}

function extend(order: Order, record: Buffer | undefined, answer: AnswerWriter): Change {
  const mayExtend =
    record?.[at.state] === inFlight && isOwner(order, record) && order.nowMs < record.readDoubleLE(at.leaseEndsAtMs);
  answer.byte(mayExtend ? kind.yes : kind.no);
  return mayExtend ? patched(record, (next) => beginLease(order, next)) : undefined;
}

function complete(order: Order, record: Buffer | undefined, answer: AnswerWriter): Change {
  const isLost = record !== undefined && (record[at.state] === free || !isOwner(order, record));
  answer.byte(isLost ? kind.no : kind.yes);
  if (isLost || (record !== undefined && isSettled(record))) return undefined;
  if (record !== undefined) return finish(order, record, payloadOf(order));
  const anew = blank(order, undefined);
  anew.writeUInt32LE(1, at.attempts);
  anew.writeDoubleLE(order.nowMs, at.createdAtMs);
  return finish(order, anew, payloadOf(order));
}

/** What `withdraw` and `release` have in common: whether the caller may, and whether there is anything left to do. */
function mayFree(order: Order, record: Buffer | undefined, answer: AnswerWriter): record is Buffer {
  const isLost = record !== undefined && (isSettled(record) || !isOwner(order, record));
  answer.byte(isLost ? kind.no : kind.yes);
  return record !== undefined && !isLost && record[at.state] !== free;
}

function withdraw(order: Order, record: Buffer | undefined, answer: AnswerWriter): Change {
  if (!mayFree(order, record, answer)) return undefined;
  if (record[at.causeBefore] === 0) return "gone";
  return patched(record, (next) => {
    next[at.state] = inDoubt;
    next[at.cause] = next[at.causeBefore]!;
    next[at.causeBefore] = 0;
    record.copy(next, at.token, at.tokenBefore, at.tokenBefore + 16);
    next.writeDoubleLE(order.nowMs, at.updatedAtMs);
  });
}

function release(order: Order, record: Buffer | undefined, answer: AnswerWriter): Change {
  if (!mayFree(order, record, answer)) return undefined;
  const landing = payloadOf(order);
  const next = freed(record, landing);
  if (landing !== undefined) next.writeDoubleLE(order.nowMs + spanMsOf(order), at.expiresAtMs);
  return next;
}

function strand(order: Order, record: Buffer | undefined, answer: AnswerWriter): Change {
  const mayStrand = record !== undefined && !isSettled(record) && record[at.state] !== free && isOwner(order, record);
  answer.byte(mayStrand ? kind.yes : kind.no);
  if (!mayStrand) return undefined;
  const next = withPayload(record, payloadOf(order));
  next[at.state] = inDoubt;
  next[at.cause] = order.bytes.readUInt16LE(order.from + command.at.detail);
  next.writeDoubleLE(order.nowMs, at.updatedAtMs);
  next.writeDoubleLE(order.nowMs + retentionMsOf(order), at.expiresAtMs);
  return next;
}

function forget(order: Order, record: Buffer | undefined, answer: AnswerWriter): Change {
  const isAbsent = record === undefined || record[at.state] === free;
  const refusal = isAbsent
    ? kind.no
    : !isAsSeen(order, record)
      ? kind.moved
      : isFlying(record, order.nowMs)
        ? kind.refused
        : undefined;
  answer.byte(refusal ?? kind.yes);
  return isAbsent || refusal !== undefined ? undefined : voided(record);
}

function resolve(order: Order, record: Buffer | undefined, answer: AnswerWriter): Change {
  const isAbsent = record === undefined || record[at.state] === free;
  const refusal = isAbsent
    ? kind.no
    : !isAsSeen(order, record)
      ? kind.moved
      : isSettled(record) || isFlying(record, order.nowMs)
        ? kind.refused
        : undefined;
  answer.byte(refusal ?? kind.yes);
  if (isAbsent || refusal !== undefined) return undefined;
  const response = payloadOf(order);
  return response === undefined ? voided(record) : finish(order, voided(record), response);
}

function peek(record: Buffer | undefined, answer: AnswerWriter): Change {
  if (record === undefined || record[at.state] === free) answer.byte(kind.no);
  else answer.byte(kind.record).blob(record, 0, record.length);
  return undefined;
}
