import type { Generation, Place } from "./generation.js";
import { logKeyOf, type Trees } from "./trees.js";

const bucketCount = 256;

/**
 * Moves what a sealed segment says into the trees, some at a time: first what is settled into the log, in the order of
 * time; then where each record is, in the order of ids, so that neighbours in a tree are written together.
 *
 * Whoever does it writes the same keys and the same bytes. So it does no harm when two processes file one segment, nor
 * when one begins again what another left half done.
 */
export class Filing {
  readonly #settled: [string, Place][];
  readonly #buckets: string[][] = [];
  readonly #total: number;
  #done = 0;

  constructor(private readonly generation: Generation) {
    this.#settled = [];
    for (let bucket = 0; bucket < bucketCount; bucket++) this.#buckets.push([]);
    for (const [id, place] of generation.places) {
      if (place !== "gone" && place.record === undefined) this.#settled.push([id, place]);
      this.#buckets[id.charCodeAt(0)]!.push(id);
    }
    this.#total = this.#settled.length + generation.places.size;
  }

  /** How many steps are left. */
  get remaining(): number {
    return this.#total - this.#done;
  }

  /** Puts the next records into the trees. Returns what to call once they are committed. */
  slice(trees: Trees, steps: number, nowMs: number): () => void {
    const logged = Math.min(this.#done, this.#settled.length);
    const toLog = this.#settled.slice(logged, logged + steps);
    if (toLog.length > 0) {
      this.#log(trees, toLog, nowMs);
      return () => {
        this.#done += toLog.length;
      };
    }
    return this.#place(trees, steps, nowMs);
  }

  #log(trees: Trees, part: readonly [string, Place][], nowMs: number): void {
    const { segment } = this.generation;
    const byTime = part
      .filter(([, place]) => !isOver(place, nowMs))
      .map(([, place]) => ({ key: logKeyOf(segment.number, place), place }));
    byTime.sort((a, b) => a.key.compare(b.key));
    for (const { key, place } of byTime) void trees.log.put(key, segment.read(place.from, place.length));
  }

  #place(trees: Trees, steps: number, nowMs: number): () => void {
    const { places, segment } = this.generation;
    const ids: string[] = [];
    let bucket = this.#buckets.findIndex((ids) => ids.length > 0);
    const first = bucket;
    for (; bucket >= 0 && bucket < bucketCount && ids.length < steps; bucket++) {
      ids.push(...this.#buckets[bucket]!.sort());
    }
    for (const id of ids) {
      const place = places.get(id)!;
      if (place === "gone" || isOver(place, nowMs)) trees.fileGone(id);
      else if (place.record !== undefined) trees.fileOpen(id, place.record);
      else trees.fileSettled(id, logKeyOf(segment.number, place));
    }
    return () => {
      for (let emptied = first; emptied >= 0 && emptied < bucket; emptied++) this.#buckets[emptied] = [];
      this.#done += ids.length;
    };
  }
}

/** What expired before its turn came never costs a page of the trees. */
function isOver(place: Place, nowMs: number): boolean {
  return place.expiresAtMs <= nowMs;
}
