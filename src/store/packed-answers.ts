import type { Claim, Fingerprint, RecordKey } from "../model.js";
import { decodeResponse, encodeResponse } from "./codec.js";

/** What is said of a record that cannot change any more. */
export type Final = Extract<Claim, { kind: "done" | "notReplayable" }>;

/*
 * An entry. Numbers are big-endian.
 *
 *   0  when it was asked for, ms, f64       32  the record's key, 64 hexadecimal digits
 *   8  its age then, ms, f64                96  the fingerprint, likewise
 *  16  what was left of its retention       160  the response (codec.ts)
 *      then, ms, f64
 *  24  octets of the response, u32
 *  28  the status, where there is no response, u32
 */
const remainingAt = 16;
const bytesAt = 24;
const statusAt = 28;
const keyAt = 32;
const fingerprintAt = 96;
const blobAt = 160;

const slabBytes = 256 * 1024;

interface Slab {
  readonly memory: Buffer;
  used: number;
  entries: number;
  /** Somebody has a view of it, perhaps for long: these octets are not written again. */
  isShared: boolean;
}

/**
 * Answers as octets in large buffers, each at a place that is a whole number. Most are never wanted again and live for a
 * second, just long enough to be dear to the garbage collector: so no object is made for any of them.
 */
export class PackedAnswers {
  readonly #slabs: (Slab | undefined)[] = [];
  /** Which of them is being filled. */
  #current = -1;

  /** Returns its place. What it is given is copied. */
  add(key: RecordKey, final: Final, askedAtMs: number): number {
    const blob = blobOf(final);
    const bytes = blobAt + blob.length;
    const index = this.#slabFor(bytes);
    const slab = this.#slabs[index]!;
    const { memory, used } = slab;
    memory.writeDoubleBE(askedAtMs, used);
    memory.writeDoubleBE(final.kind === "done" ? final.ageMs : 0, used + 8);
    memory.writeDoubleBE(final.kind === "done" ? final.remainingMs : 0, used + remainingAt);
    memory.writeUInt32BE(blob.length, used + bytesAt);
    memory.writeUInt32BE(final.kind === "done" ? 0 : final.status, used + statusAt);
    memory.write(key + final.fingerprint, used + keyAt, "latin1");
    memory.set(blob, used + blobAt);
    slab.used += bytes;
    slab.entries += 1;
    return index * slabBytes + used;
  }

  askedAtMs(place: number): number {
    return this.#slabOf(place).memory.readDoubleBE(place % slabBytes);
  }

  bytesOf(place: number): number {
    return blobAt + this.#slabOf(place).memory.readUInt32BE((place % slabBytes) + bytesAt);
  }

  isOf(key: RecordKey, place: number): boolean {
    const at = place % slabBytes;
    return this.#slabOf(place).memory.toString("latin1", at + keyAt, at + fingerprintAt) === key;
  }

  /** A body is a view of what is kept here. */
  read(place: number): Final {
    const slab = this.#slabOf(place);
    const { memory } = slab;
    const at = place % slabBytes;
    const fingerprint = memory.toString("latin1", at + fingerprintAt, at + blobAt) as Fingerprint;
    const bytes = memory.readUInt32BE(at + bytesAt);
    if (bytes === 0) return { kind: "notReplayable", fingerprint, status: memory.readUInt32BE(at + statusAt) };
    slab.isShared = true;
    const response = decodeResponse(memory.subarray(at + blobAt, at + blobAt + bytes));
    const [ageMs, remainingMs] = [memory.readDoubleBE(at + 8), memory.readDoubleBE(at + remainingAt)];
    return { kind: "done", fingerprint, ageMs, remainingMs, response };
  }

  remove(place: number): void {
    const slab = this.#slabOf(place);
    slab.entries -= 1;
    if (slab.entries > 0) return;
    slab.used = 0;
    if (!slab.isShared && slab.memory.length === slabBytes) return;
    const index = indexOf(place);
    this.#slabs[index] = undefined;
    if (index === this.#current) this.#current = -1;
  }

  #slabOf(place: number): Slab {
    return this.#slabs[indexOf(place)]!;
  }

  /** What is large has a slab of its own. */
  #slabFor(bytes: number): number {
    if (bytes > slabBytes / 4) return this.#open(bytes);
    const current = this.#slabs[this.#current];
    if (current === undefined || current.used + bytes > slabBytes) this.#current = this.#open(slabBytes);
    return this.#current;
  }

  #open(bytes: number): number {
    // What V8 is given anew it has to collect.
    const empty = this.#slabs.findIndex((slab) => slab?.used === 0 && slab.memory.length === bytes);
    if (empty >= 0) return empty;
    const slab = { memory: Buffer.allocUnsafeSlow(bytes), used: 0, entries: 0, isShared: false };
    const free = this.#slabs.indexOf(undefined);
    const index = free < 0 ? this.#slabs.length : free;
    this.#slabs[index] = slab;
    return index;
  }
}

function indexOf(place: number): number {
  return Math.floor(place / slabBytes);
}

/** The response in the store's form; empty where there is none. */
function blobOf(final: Final): Buffer {
  return final.kind === "done" ? (final.blob ?? encodeResponse(final.response)) : nothing;
}

const nothing = Buffer.alloc(0);
