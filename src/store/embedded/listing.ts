import type { ListQuery } from "../record-store.js";
import { at, expiresAtMs, payloadAt, routeOf, stateOf } from "./record.js";
import { after, asBuffer, beginOf, retentionMsOf, settledAtMsOf, type Trees } from "./trees.js";

export interface Listed {
  /** Records without their payload. */
  readonly heads: Buffer[];
  readonly cursor: string | null;
}

/** Where the next page goes on. */
interface Cursor {
  /** Only what is placed before this. */
  readonly before: string;
  /** When the first page was asked for: what was settled since then is looked at again. */
  readonly sinceMs: number;
  /** Of what was settled before that, only what was settled up to here can be placed before `before`. */
  readonly upToMs: number;
}

interface Candidate {
  readonly place: string;
  readonly head: Buffer;
  readonly settledAtMs: number;
}

const first: Buffer = Buffer.of(0);
const last = Buffer.alloc(33, 0xff);

/**
 * One page, newest first by creation, found in steps so that no commit waits long for it. The log is in the order of
 * settling, and a record is created before it is settled: the search ends where whatever is left was settled before the
 * last of the page was created.
 */
export class Listing {
  readonly #cursor: Cursor;
  /** The best so far, best first, one more than the page holds. */
  readonly #best: Candidate[] = [];
  #leftOutMs = 0;
  readonly #searches: ((trees: Trees, steps: number) => boolean)[] = [];

  constructor(
    private readonly query: ListQuery,
    private readonly nowMs: number,
  ) {
    this.#cursor =
      query.cursor === undefined
        ? { before: "~", sinceMs: nowMs, upToMs: Number.MAX_SAFE_INTEGER }
        : readCursor(query.cursor);
    const { state, idPrefix } = query;
    if (state === undefined || state === "in_flight" || state === "in_doubt") this.#searches.push(this.#searchOpen());
    if (state === "in_flight" || state === "in_doubt") return;
    if (idPrefix) this.#searches.push(this.#searchIndex());
    else this.#searches.push(this.#findRetentions());
  }

  /** Within the trees' lock. Returns the page once it is found. */
  step(trees: Trees, steps: number): Listed | undefined {
    const search = this.#searches[0];
    if (search?.(trees, steps)) this.#searches.shift();
    return this.#searches.length === 0 ? this.#page() : undefined;
  }

  #page(): Listed {
    const { limit } = this.query;
    const page = this.#best.slice(0, limit);
    const next = this.#best[limit];
    if (next === undefined) return { heads: page.map(({ head }) => head), cursor: null };
    const upToMs = Math.max(this.#leftOutMs, next.settledAtMs);
    const cursor: Cursor = { before: page.at(-1)!.place, sinceMs: this.#cursor.sinceMs, upToMs };
    return { heads: page.map(({ head }) => head), cursor: writeCursor(cursor) };
  }

  #searchOpen(): (trees: Trees, steps: number) => boolean {
    const [begin, end] = rangeOf(this.query.idPrefix);
    let from: Buffer = begin;
    return (trees, steps) => {
      const entries = [...trees.open.getRange({ start: from, end, limit: steps })];
      for (const { key, value } of entries) {
        from = after(key);
        this.#consider(asBuffer(value), 0);
      }
      return entries.length < steps;
    };
  }

  #searchIndex(): (trees: Trees, steps: number) => boolean {
    const [begin, end] = rangeOf(this.query.idPrefix);
    let from: Buffer = begin;
    return (trees, steps) => {
      const entries = [...trees.index.getRange({ start: from, end, limit: steps })];
      for (const { key, value } of entries) {
        from = after(key);
        const record = trees.log.getBinary(value);
        if (record !== undefined) this.#consider(asBuffer(record), 0);
      }
      return entries.length < steps;
    };
  }

  /** One search for each retention there is. */
  #findRetentions(): (trees: Trees) => boolean {
    return (trees) => {
      let from = first;
      for (;;) {
        const [key] = [...trees.log.getKeys({ start: from, limit: 1 })];
        if (key === undefined) return true;
        const retentionMs = retentionMsOf(asBuffer(key));
        this.#searches.push(this.#searchLog(retentionMs));
        from = beginOf(retentionMs + 1);
      }
    };
  }

  #searchLog(retentionMs: number): (trees: Trees, steps: number) => boolean {
    const { sinceMs, upToMs } = this.#cursor;
    const end = beginOf(retentionMs);
    let from: Buffer = beginOf(retentionMs, Number.MAX_SAFE_INTEGER);
    return (trees, steps) => {
      const entries = [...trees.log.getRange({ start: from, end, reverse: true, limit: steps })];
      for (const { key, value } of entries) {
        const logKey = asBuffer(key);
        const settledAtMs = settledAtMsOf(logKey);
        if (settledAtMs < sinceMs && settledAtMs > upToMs) {
          from = beginOf(retentionMs, upToMs + 1);
          return false;
        }
        if (this.#isBeyond(settledAtMs)) {
          this.#leftOutMs = Math.max(this.#leftOutMs, settledAtMs);
          return true;
        }
        // The last one of the step before comes again.
        if (!from.equals(logKey)) this.#considerLogged(trees, logKey, asBuffer(value), settledAtMs);
        from = logKey;
      }
      return entries.length < steps;
    };
  }

  /** What was forgotten, or settled again, lies in the log until its time, but the index says otherwise. */
  #considerLogged(trees: Trees, logKey: Buffer, record: Buffer, settledAtMs: number): void {
    const current = trees.index.getBinary(record.subarray(at.id, at.id + 32));
    if (current !== undefined && logKey.equals(current)) this.#consider(record, settledAtMs);
  }

  /** Whether nothing that was settled by then can be on the page. */
  #isBeyond(settledAtMs: number): boolean {
    const worst = this.#best[this.query.limit];
    return worst !== undefined && settledAtMs < worst.head.readDoubleLE(at.createdAtMs);
  }

  #consider(record: Buffer, settledAtMs: number): void {
    if (expiresAtMs(record) <= this.nowMs || !this.#isWanted(record)) return;
    const place = placeOf(record);
    if (place >= this.#cursor.before) return;
    const { limit } = this.query;
    if (this.#best.length > limit && place < this.#best[limit]!.place) {
      this.#leftOutMs = Math.max(this.#leftOutMs, settledAtMs);
      return;
    }
    const index = this.#best.findIndex((other) => other.place < place);
    const candidate = { place, head: Buffer.from(record.subarray(0, payloadAt(record))), settledAtMs };
    this.#best.splice(index < 0 ? this.#best.length : index, 0, candidate);
    if (this.#best.length > limit + 1) this.#leftOutMs = Math.max(this.#leftOutMs, this.#best.pop()!.settledAtMs);
  }

  #isWanted(record: Buffer): boolean {
    const { route, state, keyHash, idPrefix } = this.query;
    if (keyHash !== undefined && record.toString("hex", at.keyHash, at.keyHash + 32) !== keyHash) return false;
    if (idPrefix !== undefined && !record.toString("hex", at.id, at.id + 32).startsWith(idPrefix)) return false;
    const found = stateOf(record, this.nowMs);
    if (found === undefined || (state !== undefined && found !== state)) return false;
    return route === undefined || routeOf(record) === route;
  }
}

function placeOf(record: Buffer): string {
  const createdAtMs = Math.floor(record.readDoubleLE(at.createdAtMs));
  return `${String(createdAtMs).padStart(16, "0")}.${record.toString("hex", at.id, at.id + 32)}`;
}

/** The ids that may begin with these digits: an odd one is left to `isWanted`. */
function rangeOf(idPrefix: string | undefined): [Buffer, Buffer] {
  const whole = Buffer.from(idPrefix?.slice(0, idPrefix.length & ~1) ?? "", "hex");
  return [whole.length === 0 ? first : whole, Buffer.concat([whole, last])];
}

function writeCursor({ before, sinceMs, upToMs }: Cursor): string {
  return `${before}.${sinceMs}.${upToMs}`;
}

function readCursor(text: string): Cursor {
  const [createdAt = "", id = "", since = "", upTo = ""] = text.split(".");
  return { before: `${createdAt}.${id}`, sinceMs: Number(since), upToMs: Number(upTo) };
}
