/** Enough for what a busy writer gathers in one go, and no matter if it is kept for good. */
const mostKept = 1 << 22;

/**
 * Bytes that are written, used and written over. Making new ones each time would leave the memory of a process that
 * runs for long in pieces, which the system does not get back.
 */
export class Scratch {
  #bytes = Buffer.allocUnsafeSlow(0);

  /** So many bytes, whatever they hold; valid until the next call. */
  take(length: number): Buffer {
    if (length > mostKept) return Buffer.allocUnsafeSlow(length);
    if (length > this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow(Math.min(mostKept, 2 * length));
    return this.#bytes.subarray(0, length);
  }
}
