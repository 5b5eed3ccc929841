import type { Claim, Fingerprint } from "../../model.js";
import { decodeLanding, decodeResponse } from "../codec.js";
import { causes } from "./record.js";

/** How an answer begins: what became of the command. */
export const kind = {
  /** The verb did what it is for. */
  yes: 0,
  /** It did not, and changed nothing. */
  no: 1,
  /** `forget` in flight, `resolve` not in doubt. */
  refused: 2,
  won: 3,
  held: 4,
  done: 5,
  inDoubt: 6,
  notReplayable: 7,
  landed: 8,
  record: 9,
  unavailable: 10,
  /** An operator's write: the record is not the one that was seen. */
  moved: 11,
} as const;

const firstBytes = 1 << 16;

/** The answers to one batch of commands, in their order, one after the other. The writer thread's half. */
export class AnswerWriter {
  #bytes = Buffer.allocUnsafeSlow(firstBytes);
  length = 0;

  /** Valid until the next answer is added. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }

  /** Takes back everything after `length`. */
  truncate(length: number): void {
    this.length = length;
  }

  /** Empties it, and gives back what an unusually large batch needed. */
  clear(): void {
    this.length = 0;
    if (this.#bytes.length > 64 * firstBytes) this.#bytes = Buffer.allocUnsafeSlow(firstBytes);
  }

  byte(value: number): this {
    this.#makeRoom(1);
    this.#bytes[this.length++] = value;
    return this;
  }

  number(value: number): this {
    this.#makeRoom(8);
    this.length = this.#bytes.writeDoubleLE(value, this.length);
    return this;
  }

  part(source: Buffer, from: number, to: number): this {
    this.#makeRoom(to - from);
    source.copy(this.#bytes, this.length, from, to);
    this.length += to - from;
    return this;
  }

  /** Length, then bytes. */
  blob(source: Buffer, from: number, to: number): this {
    return this.number(to - from).part(source, from, to);
  }

  #makeRoom(length: number): void {
    if (this.length + length <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, this.length + length));
    this.#bytes.copy(larger, 0, 0, this.length);
    this.#bytes = larger;
  }
}

/** The gateway thread's half: reads what was written, in the same order. */
export class AnswerReader {
  constructor(
    readonly bytes: Buffer,
    private position: number,
    private readonly end: number,
  ) {}

  get hasMore(): boolean {
    return this.position < this.end;
  }

  byte(): number {
    return this.bytes[this.position++]!;
  }

  number(): number {
    const value = this.bytes.readDoubleLE(this.position);
    this.position += 8;
    return value;
  }

  hex(length: number): string {
    const from = this.position;
    this.position += length;
    return this.bytes.toString("hex", from, this.position);
  }

  /** A copy: what is read from is overwritten soon. */
  blob(): Buffer {
    const length = this.number();
    const from = this.position;
    this.position += length;
    return Buffer.copyBytesFrom(this.bytes, from, length);
  }
}

/** A claim's answer, after its kind. */
export function readClaim(answerKind: number, from: AnswerReader): Claim {
  if (answerKind === kind.won) {
    const attempts = from.number();
    const taken = causes[from.byte()] ?? null;
    return { kind: "won", attempts, taken, ...(from.byte() === 1 ? { expired: true } : {}) };
  }
  const fingerprint = from.hex(32) as Fingerprint;
  switch (answerKind) {
    case kind.held:
      return { kind: "held", fingerprint, flight: from.hex(8), remainingMs: from.number() };
    case kind.done: {
      const ageMs = from.number();
      const blob = from.blob();
      return { kind: "done", fingerprint, ageMs, response: decodeResponse(blob), blob };
    }
    case kind.inDoubt:
      return { kind: "inDoubt", fingerprint, cause: causes[from.byte()]!, expired: from.byte() === 1 };
    case kind.notReplayable:
      return { kind: "notReplayable", fingerprint, status: from.number() };
    case kind.landed:
      return { kind: "landed", fingerprint, landing: decodeLanding(from.blob()) };
    default:
      throw new Error(`a claim was answered with ${answerKind}`);
  }
}
