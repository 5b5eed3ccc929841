import type { Generation, Place } from "./generation.js";
import { Scratch } from "./scratch.js";
import { logKeyOf, type Trees } from "./trees.js";

const bucketCount = 256;
/** Large records are moved fewer at a time. */
const sliceBytes = 1 << 20;

/**
 * Moves what a sealed segment says into the trees, some at a time: first what is settled into the log, in the order of
 * time; then where each record is, in the order of ids, so that neighbours in a tree are written together.
 *
 * Whoever does it writes the same keys and the same bytes. So it does no harm when two processes file one segment, nor
 * when one begins again what another left half done.
 */
export class Filing {
  readonly #settled: Place[] = [];
  #logged = 0;
  /** All ids by their first byte. One bucket after the other is sorted, and goes to the end of `#inOrder`. */
  readonly #buckets: string[][] = Array.from({ length: bucketCount }, () => []);
  readonly #inOrder: string[] = [];
  #placed = 0;
  readonly #scratch = new Scratch();

  constructor(private readonly generation: Generation) {
    for (const [id, place] of generation.places) {
      if (place !== "gone" && place.record === undefined) this.#settled.push(place);
      this.#buckets[id.charCodeAt(0)]!.push(id);
    }
  }

  /** How many steps are left. */
  get remaining(): number {
    return this.#settled.length - this.#logged + this.generation.places.size - this.#placed;
  }

  /** Puts the next records into the trees. Returns what to call once they are committed. */
  slice(trees: Trees, steps: number, nowMs: number): () => void {
    return this.#logged < this.#settled.length ? this.#log(trees, steps, nowMs) : this.#place(trees, steps, nowMs);
  }

  #log(trees: Trees, steps: number, nowMs: number): () => void {
    const { segment } = this.generation;
    const part: { key: Buffer; place: Place }[] = [];
    let logged = this.#logged;
    for (let bytes = 0; logged < this.#settled.length && part.length < steps && bytes < sliceBytes; logged++) {
      const place = this.#settled[logged]!;
      if (isOver(place, nowMs)) continue;
      part.push({ key: logKeyOf(segment.number, place), place });
      bytes += place.length;
    }
    part.sort((a, b) => a.key.compare(b.key));
    // In a transaction LMDB has its own copy when `put` returns.
    for (const { key, place } of part) {
      void trees.log.put(key, segment.read(place.from, place.length, this.#scratch.take(place.length)));
    }
    return () => {
      this.#logged = logged;
    };
  }

  #place(trees: Trees, steps: number, nowMs: number): () => void {
    const { places, segment } = this.generation;
    while (this.#inOrder.length < this.#placed + steps && this.#buckets.length > 0) {
      for (const id of this.#buckets.shift()!.sort()) this.#inOrder.push(id);
    }
    const end = Math.min(this.#inOrder.length, this.#placed + steps);
    let placed = this.#placed;
    for (let bytes = 0; placed < end && bytes < sliceBytes; placed++) {
      const id = this.#inOrder[placed]!;
      const place = places.get(id)!;
      if (place === "gone" || isOver(place, nowMs)) trees.fileGone(id);
      else if (place.record === undefined) trees.fileSettled(id, logKeyOf(segment.number, place));
      else {
        trees.fileOpen(id, place.record);
        bytes += place.length;
      }
    }
    return () => {
      this.#placed = placed;
    };
  }
}

/** What expired before its turn came never costs a page of the trees. */
function isOver(place: Place, nowMs: number): boolean {
  return place.expiresAtMs <= nowMs;
}
