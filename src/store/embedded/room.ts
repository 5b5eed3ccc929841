import { statfsSync } from "node:fs";
import type { Trees } from "./trees.js";

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
    private readonly trees: Trees,
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
    if (free >= reserve) return false;
    // The file never shrinks: what expired in it is room as well.
    let reusable = 0;
    this.trees.locked(() => {
      reusable = this.trees.freeBytes();
    });
    return free + reusable < reserve;
  }
}

export function isDiskFull(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  // As node says it, and as LMDB does: 28 is ENOSPC, 122 EDQUOT.
  return code === "ENOSPC" || code === "EDQUOT" || code === 28 || code === 122;
}
