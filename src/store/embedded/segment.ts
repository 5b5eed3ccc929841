import { randomBytes } from "node:crypto";
import { closeSync, fdatasyncSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";
import { Scratch } from "./scratch.js";
import { openIfThere, reuseSpare, segmentFile, syncFolder } from "./segment-files.js";

/*
 * A segment of the journal is a file: 64 bytes of head, then frames, then zeros or what the file held in an earlier
 * life. All numbers little-endian.
 *
 *   head   0 magic, u32   4 format, u32   8 number, f64   16 salt, 8   24 CRC-32 of 0..24
 *   frame  0 magic, u32   4 CRC-32 of the rest, begun with the salt   8 length of the payload, u32   12 kind, u32
 *         16 sequence within the segment, f64   24 salt, 8   32 payload, padded with zeros to a multiple of 8
 *
 * The salt is random for each life of a file, so that neither an old frame nor one hidden in a response's body can be
 * taken for a frame of this segment.
 */
const headBytes = 64;
const headMagic = 0x4a524749;
const frameMagic = 0x4652474a;
const format = 1;
export const frameHeadBytes = 32;

const recordsFrame = 1;
/** The last frame of a segment: the journal goes on in the next one. */
const sealFrame = 2;

/** A file grows by so much at once: appending within a file of fixed size needs one flush less of the disk. */
const growthBytes = 1 << 20;
const zeros = Buffer.alloc(growthBytes);

/** What was appended is not on the disk, and nobody can say what is: this process must not go on with this file. */
export class JournalBroken extends Error {
  override readonly name = "JournalBroken";
}

/** One open segment. Everything here is called while the process holds the store's lock, but for `hasNews`. */
export class Segment {
  /** Where the next frame is, or will be. */
  position = headBytes;
  isSealed = false;
  #sequence = 0;
  #sizeBytes: number;
  readonly #frameHead = Buffer.alloc(frameHeadBytes);
  readonly #scratch = new Scratch();

  private constructor(
    readonly number: number,
    private readonly fd: number,
    private readonly salt: Buffer,
  ) {
    this.#sizeBytes = fstatSync(fd).size;
  }

  /** `undefined`: there is no such file, or it was made for this number but never begun. */
  static open(folder: string, number: number): Segment | undefined {
    const fd = openIfThere(segmentFile(folder, number));
    if (fd === undefined) return undefined;
    const head = Buffer.alloc(headBytes);
    readSync(fd, head, 0, headBytes, 0);
    const isWhole = head.readUInt32LE(0) === headMagic && head.readUInt32LE(24) === crc32(head.subarray(0, 24));
    if (isWhole && head.readDoubleLE(8) === number) return new Segment(number, fd, head.subarray(16, 24));
    closeSync(fd);
    return undefined;
  }

  /** A new segment. */
  static create(folder: string, number: number): Segment {
    const file = segmentFile(folder, number);
    reuseSpare(folder, number);
    const fd = openIfThere(file) ?? openSync(file, "w+", 0o600);
    const head = Buffer.alloc(headBytes);
    head.writeUInt32LE(headMagic, 0);
    head.writeUInt32LE(format, 4);
    head.writeDoubleLE(number, 8);
    randomBytes(8).copy(head, 16);
    head.writeUInt32LE(crc32(head.subarray(0, 24)), 24);
    try {
      writeAll(fd, head, 0);
      fsyncSync(fd);
      syncFolder(folder);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return new Segment(number, fd, head.subarray(16, 24));
  }

  /** The payload of the next frame somebody appended, valid until the next call; `undefined` when there is none. */
  next(): Buffer | undefined {
    if (this.isSealed || !this.#readHead(this.#frameHead)) return undefined;
    const length = frameHeadBytes + this.#frameHead.readUInt32LE(8);
    if (this.position + length > this.#size(length)) return undefined;
    const frame = this.#scratch.take(length);
    if (readSync(this.fd, frame, 0, length, this.position) !== length) return undefined;
    if (frame.readUInt32LE(4) !== this.#sumOf(frame)) return undefined;
    this.#step(length);
    if (frame.readUInt32LE(12) !== sealFrame) return frame.subarray(frameHeadBytes);
    this.isSealed = true;
    return undefined;
  }

  /** Whether there may be a frame that was not read yet. Needs no lock: a wrong answer is put right by the next. */
  hasNews(): boolean {
    return !this.isSealed && this.#readHead(this.#frameHead);
  }

  /** Where the payload begins of the frame that `append` would write now. */
  get nextPayloadAt(): number {
    return this.position + frameHeadBytes;
  }

  /**
   * Writes a frame and flushes it to the disk. `frame` begins with room for its head. Throws as the disk does while
   * nothing has happened yet, and `JournalBroken` when it is not known what has.
   */
  append(frame: Buffer): void {
    this.#append(frame, recordsFrame);
  }

  seal(): void {
    this.#append(Buffer.alloc(frameHeadBytes), sealFrame);
    this.isSealed = true;
  }

  /** Into `bytes`, where they are given: `length` of them. */
  read(from: number, length: number, bytes: Buffer = Buffer.allocUnsafe(length)): Buffer {
    if (readSync(this.fd, bytes, 0, length, from) !== length) throw new Error(`journal ${this.number} is cut short`);
    return bytes;
  }

  /** What another process wrote is on the disk when this returns, also when that process died before it was. */
  flush(): void {
    try {
      fdatasyncSync(this.fd);
    } catch (error) {
      throw new JournalBroken("the journal could not be flushed", { cause: error });
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  #append(frame: Buffer, frameKind: number): void {
    frame.writeUInt32LE(frameMagic, 0);
    frame.writeUInt32LE(frame.length - frameHeadBytes, 8);
    frame.writeUInt32LE(frameKind, 12);
    frame.writeDoubleLE(this.#sequence, 16);
    this.salt.copy(frame, 24);
    frame.writeUInt32LE(this.#sumOf(frame), 4);
    this.#grow(frame.length);
    writeAll(this.fd, frame, this.position);
    this.flush();
    this.#step(frame.length);
  }

  #grow(byBytes: number): void {
    const needed = this.position + byBytes;
    if (needed <= this.#size(byBytes)) return;
    // One that fails on a full disk leaves at most zeros behind.
    while (this.#sizeBytes < needed) {
      writeAll(this.fd, zeros, this.#sizeBytes);
      this.#sizeBytes += growthBytes;
    }
  }

  /** The file's size as last seen, looked up again where that would not be enough: others make it grow too. */
  #size(forBytes: number): number {
    if (this.position + forBytes > this.#sizeBytes) this.#sizeBytes = fstatSync(this.fd).size;
    return this.#sizeBytes;
  }

  #readHead(head: Buffer): boolean {
    return (
      readSync(this.fd, head, 0, frameHeadBytes, this.position) === frameHeadBytes &&
      head.readUInt32LE(0) === frameMagic &&
      head.readDoubleLE(16) === this.#sequence &&
      head.compare(this.salt, 0, 8, 24, 32) === 0
    );
  }

  #sumOf(frame: Buffer): number {
    return crc32(frame.subarray(8), this.salt.readUInt32LE(0));
  }

  #step(frameBytes: number): void {
    this.position += (frameBytes + 7) & ~7;
    this.#sequence++;
  }
}

function writeAll(fd: number, bytes: Buffer, position: number): void {
  let done = 0;
  while (done < bytes.length) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}
