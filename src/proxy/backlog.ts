/** With more than this the connection is not read, however few requests it is. */
const maxBytes = 64 * 1024;
const emptyBacklog = Buffer.alloc(0);
const emptyLine = Buffer.from("\r\n\r\n");

/**
 * What a client has sent and nothing has read yet: requests that wait for their turn. They stay bytes until then, so that
 * a request which waits costs no more than it is long.
 */
export class Backlog {
  #held: Buffer = emptyBacklog;
  #from = 0;
  #to = 0;
  /** What is held may be written behind: it is memory of our own. */
  #isOwn = false;
  /** How much of an empty line the bytes that were taken last end with. */
  #matched = 0;

  constructor(private readonly maxRequests: number) {}

  get bytes(): number {
    return this.#to - this.#from;
  }

  /** Whether the connection should not be read for now. */
  get isFull(): boolean {
    if (this.bytes > maxBytes) return true;
    let at = this.#from;
    for (let count = 0; count < this.maxRequests; count++) {
      const found = this.#held.indexOf(emptyLine, at);
      if (found < 0 || found + emptyLine.length > this.#to) return false;
      at = found + emptyLine.length;
    }
    return true;
  }

  add(bytes: Buffer): void {
    const held = this.bytes;
    if (held === 0) return this.#hold(bytes, bytes.length, false);
    if (!this.#isOwn || this.#to + bytes.length > this.#held.length) {
      // Twice what is needed: a request that comes byte by byte is not copied whole for each of them.
      const own = Buffer.allocUnsafeSlow(2 * (held + bytes.length));
      this.#held.copy(own, 0, this.#from, this.#to);
      this.#hold(own, held, true);
    }
    bytes.copy(this.#held, this.#to);
    this.#to += bytes.length;
  }

  /** The first of them, at most so many. */
  take(most: number): Buffer {
    const from = this.#from;
    this.#from = Math.min(this.#to, from + most);
    this.#matched = 0;
    // Nearly always one request came, and comes whole: no second view of it is made.
    const taken = this.#from - from === this.#held.length ? this.#held : this.#held.subarray(from, this.#from);
    if (this.bytes === 0) this.#hold(emptyBacklog, 0, false);
    return taken;
  }

  /**
   * Up to and with the first empty line, or all there is. A head ends with an empty line, and so does a body of chunks:
   * whatever reads this gets no byte of the message behind.
   */
  takeToEmptyLine(): Buffer {
    let end = this.#from;
    while (this.#matched > 0 && this.#matched < emptyLine.length && end < this.#to) this.#match(this.#held[end++]!);
    if (this.#matched < emptyLine.length) {
      const found = this.#held.indexOf(emptyLine, end);
      if (found >= 0 && found + emptyLine.length <= this.#to) {
        return this.take(found + emptyLine.length - this.#from);
      }
      for (let at = Math.max(end, this.#to - emptyLine.length + 1); at < this.#to; at++) this.#match(this.#held[at]!);
      const { bytes } = this;
      const matched = this.#matched;
      const all = this.take(bytes);
      this.#matched = matched;
      return all;
    }
    return this.take(end - this.#from);
  }

  /**
   * Drops the empty lines that some clients send before a request (RFC 9112 §2.2). `false`: there is a CR that ends no
   * line, which no reader may take for one; node's parser would skip it.
   */
  skipEmptyLines(): boolean {
    while (this.bytes > 0) {
      const isCr = this.#held[this.#from] === 0x0d;
      if (!isCr && this.#held[this.#from] !== 0x0a) return true;
      // Its LF may still come.
      if (isCr && this.bytes === 1) return true;
      if (isCr && this.#held[this.#from + 1] !== 0x0a) return false;
      this.take(isCr ? 2 : 1);
    }
    return true;
  }

  /** Whether all there is, is a CR whose LF may still come. */
  get isHalfLine(): boolean {
    return this.bytes === 1 && this.#held[this.#from] === 0x0d;
  }

  clear(): void {
    this.#hold(emptyBacklog, 0, false);
  }

  #match(byte: number): void {
    if (byte === emptyLine[this.#matched]) this.#matched++;
    else this.#matched = byte === 0x0d ? 1 : 0;
  }

  #hold(held: Buffer, bytes: number, isOwn: boolean): void {
    this.#held = held;
    this.#from = 0;
    this.#to = bytes;
    this.#isOwn = isOwn;
  }
}
