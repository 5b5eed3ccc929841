import type { RecordKey } from "../model.js";
import { type Final, PackedAnswers } from "./packed-answers.js";

/**
 * How long an answer is believed, ms, counted from when the store was *asked*: the record cannot have changed earlier.
 * Under the second that an operator is promised, by what a busy event loop may add.
 */
export const freshMs = 900;

/** What an entry takes besides its octets, about. */
const entryBytes = 100;

/** An answer that was wanted again. */
interface Known {
  readonly key: RecordKey;
  readonly final: Final;
  readonly askedAtMs: number;
  readonly place: number;
  /** Recalled since it came, or since there was no room. */
  isHot: boolean;
}

/**
 * Answers, bounded in bytes. All are believed for the same time, so the map, in the order they came, is also the order
 * in which they go: what is over is dropped from its front, and room is made there, passing once over what was recalled
 * since. A recall moves nothing.
 */
export class KnownAnswers {
  /** By some bits of the record's key: of two that share them one is forgotten. A number is a place among the packed. */
  readonly #known = new Map<number, number | Known>();
  #packed = new PackedAnswers();
  #bytes = 0;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(
    private readonly maxBytes: number,
    readonly now: () => number,
  ) {}

  recall(key: RecordKey): Final | undefined {
    const found = this.#known.get(shortOf(key));
    if (found === undefined) return undefined;
    const elapsedMs = this.now() - this.#askedAtMs(found);
    if (elapsedMs >= freshMs) return undefined;
    const known = typeof found === "number" ? this.#unpack(key, found) : found;
    if (known?.key !== key) return undefined;
    known.isHot = true;
    const { final } = known;
    if (final.kind !== "done") return final;
    const { kind, fingerprint, response, ageMs, remainingMs } = final;
    const elapsed = Math.floor(elapsedMs);
    return { kind, fingerprint, response, ageMs: ageMs + elapsed, remainingMs: remainingMs - elapsed };
  }

  keep(key: RecordKey, final: Final, askedAtMs: number): void {
    const short = shortOf(key);
    const before = this.#known.get(short);
    // Answers may overtake one another.
    if (before !== undefined && this.#askedAtMs(before) > askedAtMs) return;
    this.#remove(short);
    if (final.kind === "done" && final.response.body.length > this.maxBytes) return;
    const place = this.#packed.add(key, final, askedAtMs);
    this.#known.set(short, place);
    this.#bytes += entryBytes + this.#packed.bytesOf(place);
    if (this.#bytes > this.maxBytes) this.#makeRoom();
    this.#sweeper ??= setTimeout(() => this.#sweep(), freshMs).unref();
  }

  drop(key: RecordKey): void {
    this.#remove(shortOf(key));
  }

  clear(): void {
    clearTimeout(this.#sweeper);
    this.#sweeper = undefined;
    this.#known.clear();
    this.#bytes = 0;
    this.#packed = new PackedAnswers();
  }

  #remove(short: number): void {
    const found = this.#known.get(short);
    if (found === undefined) return;
    this.#known.delete(short);
    const place = typeof found === "number" ? found : found.place;
    this.#bytes -= entryBytes + this.#packed.bytesOf(place);
    this.#packed.remove(place);
  }

  #unpack(key: RecordKey, place: number): Known | undefined {
    if (!this.#packed.isOf(key, place)) return undefined;
    const final = this.#packed.read(place);
    const known: Known = { key, final, askedAtMs: this.#packed.askedAtMs(place), place, isHot: true };
    this.#known.set(shortOf(key), known);
    return known;
  }

  #askedAtMs(found: number | Known): number {
    return typeof found === "number" ? this.#packed.askedAtMs(found) : found.askedAtMs;
  }

  #makeRoom(): void {
    for (const [short, found] of this.#known) {
      if (this.#bytes <= this.maxBytes) return;
      if (typeof found === "number" || !found.isHot || this.now() - found.askedAtMs >= freshMs) {
        this.#remove(short);
      } else {
        found.isHot = false;
        this.#known.delete(short);
        this.#known.set(short, found);
      }
    }
  }

  #sweep(): void {
    const now = this.now();
    for (const [short, found] of this.#known) {
      if (now - this.#askedAtMs(found) < freshMs) break;
      this.#remove(short);
    }
    if (this.#known.size === 0) this.clear();
    else this.#sweeper = setTimeout(() => this.#sweep(), freshMs).unref();
  }
}

/** The key is a hash already: some of its digits will do. */
function shortOf(key: RecordKey): number {
  let bits = 0;
  for (let index = 0; index < 8; index++) bits = (bits * 31 + key.charCodeAt(index)) | 0;
  return bits & 0x3fffffff;
}
