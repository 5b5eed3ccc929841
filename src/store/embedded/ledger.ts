import { Filing } from "./filing.js";
import { encodeFrame, Generation, type Staged } from "./generation.js";
import { isDiskFull } from "./room.js";
import { Scratch } from "./scratch.js";
import { frameHeadBytes, Segment } from "./segment.js";
import { removeSegmentsBefore, retireSegment } from "./segment-files.js";
import type { Trees } from "./trees.js";

/** A segment so many times the usual size is sealed although the one before is not filed yet: the disk is full, or far too slow. */
const longest = 8;
const firstFilingSteps = 4096;

/**
 * The records of one folder, as all processes on this host share them: what happened lately is in the journal, the rest
 * in the trees. A change costs one flush of one file; the trees, where a change touches a page of its own, are written
 * many records at a time.
 *
 * Whoever holds the lock first reads what others have appended. So each process knows the whole journal, and the last
 * word on a record is found in memory, in the segment it points to, or in the trees.
 */
export class Ledger {
  /** Oldest first; the last is the one that is written. All others are sealed. */
  #generations: Generation[] = [];
  readonly #staged = new Map<string, Buffer | "gone">();
  readonly #scratch = new Scratch();
  #filing: Filing | undefined;
  /** With frames of others that may not be on the disk: whoever wrote them may have died before. */
  readonly #unflushed = new Set<Segment>();

  constructor(
    private readonly folder: string,
    private readonly trees: Trees,
    private readonly segmentBytes: number,
    /** Ids of records that another process wrote. */
    private readonly onForeign: (ids: readonly Buffer[]) => void,
  ) {}

  /**
   * Carries out `work` with the lock held. All it puts, of however many records, is on the disk when this returns, or
   * nothing of it is, and it throws.
   */
  transact(work: () => void): void {
    this.#staged.clear();
    this.trees.locked(() => {
      this.#follow();
      work();
      if (this.#staged.size > 0) this.#append(this.#staged);
      for (const segment of this.#unflushed) segment.flush();
      this.#unflushed.clear();
    });
  }

  /** Within `transact`. */
  get(id: string): Buffer | undefined {
    const staged = this.#staged.get(id);
    if (staged !== undefined) return staged === "gone" ? undefined : staged;
    for (let index = this.#generations.length - 1; index >= 0; index--) {
      const found = this.#generations[index]!.get(id);
      if (found !== undefined) return found === "gone" ? undefined : found;
    }
    return this.trees.get(id);
  }

  /** Within `transact`. */
  stage(id: string, record: Buffer | "gone"): void {
    this.#staged.set(id, record);
  }

  /** Forgets what was staged: the same work begins again. */
  unstage(): void {
    this.#staged.clear();
  }

  /** Without the lock: whether another process seems to have written. */
  hasNews(): boolean {
    return this.#current.segment.hasNews();
  }

  /** Steps of filing that are due. */
  get unfiled(): number {
    if (this.#generations.length < 2) return 0;
    this.#filing ??= new Filing(this.#generations[0]!);
    return this.#filing.remaining + 1;
  }

  /** Files at most so many records of the oldest sealed segment. */
  file(steps: number, nowMs: number): void {
    let committed = () => {};
    this.trees.locked(() => {
      this.#follow();
      if (this.unfiled > 0) committed = this.#fileSlice(this.#filing!, steps, nowMs);
    });
    committed();
  }

  /** Whether there is anything that is not sealed. */
  get hasUnsealed(): boolean {
    return this.#current.places.size > 0;
  }

  /** Seals what is written now, however little it is, so that all of it can be filed. */
  seal(): void {
    this.trees.locked(() => {
      this.#follow();
      if (this.#current.places.size > 0) this.#seal();
    });
  }

  /**
   * Reads the journal as far as it goes, and files it. A process whose disk failed in between may have left a hole
   * behind what it read back from memory: in the trees it is whole.
   */
  begin(nowMs: number): void {
    this.transact(() => {});
    removeSegmentsBefore(this.folder, this.#generations[0]!.segment.number);
    try {
      this.seal();
      while (this.unfiled > 0) this.file(firstFilingSteps, nowMs);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
  }

  close(): void {
    for (const { segment } of this.#generations) segment.close();
    this.#generations = [];
  }

  get #current(): Generation {
    return this.#generations.at(-1)!;
  }

  #append(staged: Staged): void {
    const allowed = this.#generations.length === 1 ? this.segmentBytes : longest * this.segmentBytes;
    if (this.#current.segment.position >= allowed) this.#seal();
    const { segment } = this.#current;
    const frame = encodeFrame(staged, frameHeadBytes, this.#scratch);
    const payloadAt = segment.nextPayloadAt;
    segment.append(frame);
    this.#unflushed.delete(segment);
    this.#current.take(frame.subarray(frameHeadBytes), payloadAt);
  }

  /** The next segment is there before the seal says so. */
  #seal(): void {
    const { segment } = this.#current;
    const next = Segment.create(this.folder, segment.number + 1);
    try {
      segment.seal();
    } catch (error) {
      next.close();
      throw error;
    }
    this.#generations.push(new Generation(next));
  }

  /** Reads what others appended, and drops what has been filed. */
  #follow(): void {
    const oldest = this.trees.oldest ?? this.#begin();
    while (this.#generations.length > 0 && this.#generations[0]!.segment.number < oldest) this.#drop();
    if (this.#generations.length === 0) this.#generations.push(new Generation(this.#openSegment(oldest)));
    const ids: Buffer[] = [];
    for (;;) {
      const current = this.#current;
      const { segment } = current;
      const payloadAt = segment.nextPayloadAt;
      const payload = segment.next();
      if (payload === undefined && !segment.isSealed) break;
      this.#unflushed.add(segment);
      if (payload !== undefined) current.take(payload, payloadAt, ids);
      else this.#generations.push(new Generation(this.#openSegment(segment.number + 1)));
    }
    if (ids.length > 0) this.onForeign(ids);
  }

  #begin(): number {
    Segment.create(this.folder, 1).close();
    this.trees.oldest = 1;
    return 1;
  }

  #openSegment(number: number): Segment {
    const segment = Segment.open(this.folder, number);
    if (segment === undefined)
      throw new Error(`The data folder ${this.folder} is damaged: journal ${number} is missing.`);
    return segment;
  }

  #drop(): void {
    const { segment } = this.#generations.shift()!;
    this.#unflushed.delete(segment);
    segment.close();
    this.#filing = undefined;
  }

  #fileSlice(filing: Filing, steps: number, nowMs: number): () => void {
    const { segment } = this.#generations[0]!;
    if (filing.remaining > 0) return filing.slice(this.trees, steps, nowMs);
    this.trees.oldest = segment.number + 1;
    return () => {
      this.#drop();
      retireSegment(this.folder, segment.number);
    };
  }
}
