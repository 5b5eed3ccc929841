const headAt = 0;
const tailAt = 1;
const sleepAt = 2;
const wordsBytes = 16;
/** In place of a length: the rest of the memory is left empty, the next message is at the beginning. */
const skip = -1;

const awake = 0;
const asleep = 1;

/**
 * Messages from one thread to another in shared memory: one writer, one reader, no copy and no system call unless the
 * reader sleeps. A message through a `MessagePort` costs some ten times as much.
 *
 * `head` and `tail` count bytes and wrap at 2³²; the size is a power of two. Each message is its length, 4 bytes, and
 * its bytes in a row, padded to 4.
 */
export class Ring {
  /** The whole memory of messages; offsets are into this. */
  readonly bytes: Buffer;
  readonly #words: Int32Array;
  readonly #size: number;
  #head: number;
  #tail: number;

  constructor(readonly memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, wordsBytes / 4);
    this.bytes = Buffer.from(memory, wordsBytes);
    this.#size = this.bytes.length;
    this.#head = Atomics.load(this.#words, headAt);
    this.#tail = Atomics.load(this.#words, tailAt);
  }

  static ofSize(bytes: number): Ring {
    return new Ring(new SharedArrayBuffer(wordsBytes + bytes));
  }

  /** The largest message that always finds room once the reader has read everything. */
  get largest(): number {
    return this.#size / 2 - 8;
  }

  /** Writer: where `length` bytes may be written, or -1 while there is no room. `publish` shows them to the reader. */
  reserve(length: number): number {
    const needed = 4 + ((length + 3) & ~3);
    const free = this.#size - ((this.#head - Atomics.load(this.#words, tailAt)) >>> 0);
    let at = this.#head & (this.#size - 1);
    const toEnd = this.#size - at;
    if (needed <= toEnd) {
      if (needed > free) return -1;
    } else {
      if (toEnd + needed > free) return -1;
      this.bytes.writeInt32LE(skip, at);
      this.#head = (this.#head + toEnd) | 0;
      at = 0;
    }
    this.bytes.writeInt32LE(length, at);
    this.#head = (this.#head + needed) | 0;
    return at + 4;
  }

  publish(): void {
    Atomics.store(this.#words, headAt, this.#head);
  }

  /** Writer: wakes the reader if it sleeps. */
  wake(): void {
    if (Atomics.compareExchange(this.#words, sleepAt, asleep, awake) === asleep) Atomics.notify(this.#words, sleepAt);
  }

  /** Reader: what was published and is not yet read. */
  get hasMore(): boolean {
    return Atomics.load(this.#words, headAt) !== this.#tail;
  }

  /** Reader: the next message in place, or `undefined`. It stays as it is until `release`. */
  next(): { at: number; length: number } | undefined {
    if (!this.hasMore) return undefined;
    let at = this.#tail & (this.#size - 1);
    let length = this.bytes.readInt32LE(at);
    if (length === skip) {
      this.#tail = (this.#tail + this.#size - at) | 0;
      at = 0;
      length = this.bytes.readInt32LE(at);
    }
    this.#tail = (this.#tail + 4 + ((length + 3) & ~3)) | 0;
    return { at: at + 4, length };
  }

  /** Reader: everything read so far may be overwritten. */
  release(): void {
    Atomics.store(this.#words, tailAt, this.#tail);
  }

  /** Reader: blocks the thread until something is published or the time is over. */
  sleep(timeoutMs: number): void {
    Atomics.store(this.#words, sleepAt, asleep);
    if (!this.hasMore) Atomics.wait(this.#words, sleepAt, asleep, timeoutMs);
    Atomics.store(this.#words, sleepAt, awake);
  }

  /** Reader: blocks the thread for a time, whatever is published meanwhile. */
  pause(timeoutMs: number): void {
    Atomics.wait(this.#words, sleepAt, awake, timeoutMs);
  }
}
