import { statfsSync } from "node:fs";

const lookEveryMs = 250;
const reserveBytes = 64 << 20;
const reservePart = 0.05;

/**
 * Whether there is room for new records. Below the reserve claims are refused, so that what runs already can still be
 * completed.
 */
export class Room {
  #isShort = false;
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly folder: string,
    /** Bytes inside the file that can be written again. */
    private readonly reusable: () => number,
    private readonly onChange: (isShort: boolean) => void,
  ) {}

  /** Looks at most four times a second. */
  get isShort(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs >= lookEveryMs) {
      this.#lookedAtMs = nowMs;
      const isShort = this.#look();
      if (isShort !== this.#isShort) this.onChange(isShort);
      this.#isShort = isShort;
    }
    return this.#isShort;
  }

  #look(): boolean {
    const { bavail, blocks, bsize } = statfsSync(this.folder);
    const reserve = Math.min(reserveBytes, reservePart * blocks * bsize);
    const free = bavail * bsize;
    // The file never shrinks: what expired in it is room as well.
    return free < reserve && free + this.reusable() < reserve;
  }
}
