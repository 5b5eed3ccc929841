import type { Claim, Fingerprint, HeaderPairs, RecordKey, StoredResponse } from "../model.js";

/** What is said of a record that cannot change any more. */
export type Final = Extract<Claim, { kind: "done" | "notReplayable" }>;

/**
 * How long an answer is believed, ms, counted from when the store was *asked*: the record cannot have changed earlier.
 * Under the second that an operator is promised, by what a busy event loop may add.
 */
export const freshMs = 900;

/** An entry and its place in the map. */
const entryBytes = 400;
const slabBytes = 256 * 1024;

interface Known {
  readonly askedAtMs: number;
  readonly bytes: number;
  readonly packed: Packed | undefined;
  isHot: boolean;
  /** From the first recall on; of an answer without a response at once. */
  claim: Final | undefined;
}

interface Packed {
  readonly fingerprint: Fingerprint;
  /** When it was asked for. */
  readonly ageMs: number;
  readonly status: number;
  readonly reason: string;
  readonly headers: string;
  readonly headerCount: number;
  readonly trailers: string;
  readonly trailerCount: number;
  readonly slab: Buffer;
  readonly from: number;
  readonly to: number;
  readonly executedIn: string | undefined;
}

/**
 * Answers, bounded in bytes. All are believed for the same time, so the map, in the order they came, is also the order
 * in which they go: what is over is dropped from its front, and room is made there, passing once over what was recalled
 * since. A recall moves nothing.
 *
 * Most are never recalled, and live just long enough to be dear to the garbage collector: so they lie packed, a few
 * strings and a place in a large buffer, until somebody wants them.
 */
export class KnownAnswers {
  readonly #known = new Map<RecordKey, Known>();
  #bytes = 0;
  #slab = Buffer.alloc(0);
  #slabUsed = 0;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(
    private readonly maxBytes: number,
    readonly now: () => number,
  ) {}

  recall(key: RecordKey): Final | undefined {
    const known = this.#known.get(key);
    if (known === undefined) return undefined;
    const elapsedMs = this.now() - known.askedAtMs;
    if (elapsedMs < freshMs) known.claim ??= unpack(known.packed);
    const { claim } = known;
    if (elapsedMs >= freshMs || claim === undefined) {
      this.drop(key);
      return undefined;
    }
    known.isHot = true;
    if (claim.kind === "notReplayable") return claim;
    const { fingerprint, response, ageMs } = claim;
    return { kind: "done", fingerprint, response, ageMs: ageMs + Math.floor(elapsedMs) };
  }

  keep(key: RecordKey, claim: Final, askedAtMs: number): void {
    // Answers may overtake one another.
    if ((this.#known.get(key)?.askedAtMs ?? askedAtMs) > askedAtMs) return;
    this.drop(key);
    const isPacked = claim.kind === "done";
    const bytes = entryBytes + (isPacked ? bytesOf(claim.response) : 0);
    if (bytes > this.maxBytes) return;
    const packed = isPacked ? this.#pack(claim) : undefined;
    this.#known.set(key, { askedAtMs, bytes, packed, isHot: false, claim: isPacked ? undefined : claim });
    this.#bytes += bytes;
    if (this.#bytes > this.maxBytes) this.#makeRoom();
    this.#sweeper ??= setTimeout(() => this.#sweep(), freshMs).unref();
  }

  drop(key: RecordKey): void {
    const known = this.#known.get(key);
    if (known === undefined) return;
    this.#known.delete(key);
    this.#bytes -= known.bytes;
  }

  clear(): void {
    clearTimeout(this.#sweeper);
    this.#sweeper = undefined;
    this.#known.clear();
    this.#bytes = 0;
    this.#slab = Buffer.alloc(0);
    this.#slabUsed = 0;
  }

  /** The body is copied: it may be a view of a far larger buffer, of a socket or of node's pool, that it would keep alive. */
  #pack({ fingerprint, ageMs, response }: Final & { kind: "done" }): Packed {
    const { status, reason, headers, trailers, body } = response;
    let [slab, from] = [this.#slab, this.#slabUsed];
    if (body.length > slabBytes / 4) {
      slab = Buffer.allocUnsafeSlow(body.length);
      from = 0;
    } else {
      if (from + body.length > slab.length) {
        slab = this.#slab = Buffer.allocUnsafeSlow(slabBytes);
        from = 0;
      }
      this.#slabUsed = from + body.length;
    }
    slab.set(body, from);
    return {
      fingerprint,
      ageMs,
      status,
      reason,
      headers: headers.join(separator),
      headerCount: headers.length,
      trailers: trailers.join(separator),
      trailerCount: trailers.length,
      slab,
      from,
      to: from + body.length,
      executedIn: response.executedIn,
    };
  }

  #makeRoom(): void {
    for (const [key, known] of this.#known) {
      if (this.#bytes <= this.maxBytes) return;
      this.drop(key);
      if (!known.isHot || this.now() - known.askedAtMs >= freshMs) continue;
      known.isHot = false;
      this.#known.set(key, known);
      this.#bytes += known.bytes;
    }
  }

  #sweep(): void {
    const now = this.now();
    for (const [key, known] of this.#known) {
      if (now - known.askedAtMs < freshMs) break;
      this.drop(key);
    }
    if (this.#known.size === 0) this.clear();
    else this.#sweeper = setTimeout(() => this.#sweep(), freshMs).unref();
  }
}

function bytesOf({ headers, trailers, body, executedIn }: StoredResponse): number {
  let bytes = body.length + (executedIn?.length ?? 0);
  for (const part of headers) bytes += part.length + 1;
  for (const part of trailers) bytes += part.length + 1;
  return bytes;
}

/** No header has one (RFC 9110 §5.5). Should one come all the same, the answer is not taken apart: the store is asked. */
const separator = "\n";

function unpack(packed: Packed | undefined): Final | undefined {
  if (packed === undefined) return undefined;
  const { fingerprint, ageMs, status, reason, slab, from, to } = packed;
  const headers = parted(packed.headers, packed.headerCount);
  const trailers = parted(packed.trailers, packed.trailerCount);
  if (headers.length !== packed.headerCount || trailers.length !== packed.trailerCount) return undefined;
  const response = { status, reason, headers, body: slab.subarray(from, to), trailers };
  const { executedIn } = packed;
  if (executedIn !== undefined) return { kind: "done", fingerprint, response: { ...response, executedIn }, ageMs };
  return { kind: "done", fingerprint, response, ageMs };
}

function parted(joined: string, count: number): HeaderPairs {
  return count === 0 ? [] : joined.split(separator);
}
