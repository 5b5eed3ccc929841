/** Parts of at least this many bytes are kept as they came. */
const minKeptBytes = 4 * 1024;
const firstSlabBytes = 512;
const maxSlabBytes = 16 * 1024;

/**
 * Collects a message body. Small parts are copied into memory of its own: a body that comes in parts of one byte then
 * costs about what it holds, and not an object for each part. A body of one part is never copied.
 */
export class ByteCollector {
  #parts: Buffer[] = [];
  #slab: Buffer | undefined;
  /** How much of the slab is filled. */
  #filled = 0;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  add(part: Buffer): void {
    if (part.length === 0) return;
    const isFirst = this.#bytes === 0;
    this.#bytes += part.length;
    if (isFirst || part.length >= minKeptBytes) {
      this.#closeSlab();
      this.#parts.push(part);
      return;
    }
    let rest = part;
    while (rest.length > 0) {
      this.#slab ??= Buffer.allocUnsafeSlow(Math.min(Math.max(this.#bytes, firstSlabBytes), maxSlabBytes));
      const copied = rest.copy(this.#slab, this.#filled);
      this.#filled += copied;
      rest = rest.subarray(copied);
      if (this.#filled === this.#slab.length) this.#closeSlab();
    }
  }

  /** What was collected, in the order it came; the collector is empty then. */
  take(): Buffer {
    const parts = this.takeParts();
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }

  /** The same without joining it. */
  takeParts(): Buffer[] {
    this.#closeSlab();
    const parts = this.#parts;
    this.#parts = [];
    this.#bytes = 0;
    return parts;
  }

  #closeSlab(): void {
    if (this.#slab !== undefined && this.#filled > 0) this.#parts.push(this.#slab.subarray(0, this.#filled));
    this.#slab = undefined;
    this.#filled = 0;
  }
}
