import type { DoubtCount } from "../record-store.js";
import { at, expiresAtMs, routeOf, stateOf } from "./record.js";
import { after, asBuffer, type Trees } from "./trees.js";

/** Looked at in one count. */
const mostRecords = 50_000;

/** Counts what is in doubt among the open records, in steps so that no commit waits long for it. */
export class Census {
  readonly #counts = new Map<string, { records: number; oldestAgeMs: number }>();
  #from: Buffer = Buffer.of(0);
  #seen = 0;

  constructor(private readonly nowMs: number) {}

  /** Within the trees' lock. Returns the counts once they are whole. */
  step(trees: Trees, steps: number): DoubtCount[] | undefined {
    const entries = [...trees.open.getRange({ start: this.#from, limit: steps })];
    for (const { key, value } of entries) {
      this.#from = after(key);
      this.#count(asBuffer(value));
    }
    this.#seen += entries.length;
    if (entries.length === steps && this.#seen < mostRecords) return undefined;
    return Array.from(this.#counts, ([route, count]) => ({ route, ...count }));
  }

  #count(record: Buffer): void {
    if (expiresAtMs(record) <= this.nowMs || stateOf(record, this.nowMs) !== "in_doubt") return;
    const route = routeOf(record);
    const ageMs = Math.max(0, this.nowMs - record.readDoubleLE(at.createdAtMs));
    const count = this.#counts.get(route);
    if (count === undefined) {
      this.#counts.set(route, { records: 1, oldestAgeMs: ageMs });
      return;
    }
    count.records++;
    count.oldestAgeMs = Math.max(count.oldestAgeMs, ageMs);
  }
}
