import type { RecordKey } from "../../model.js";
import type { ClaimRequest, RecordStore } from "../record-store.js";
import type { Locks } from "./locks.js";

/** How long a refusal is remembered, ms: longer than those who wait take between two looks. */
const rememberedMs = 5_000;

/**
 * Records whose lock somebody else was found to hold. They are looked at before they are claimed again: a claim that is
 * won and withdrawn is in the owner's way for a moment, and wakes all who wait, to do the same.
 */
export class Refusals {
  /** Until when, in the order they were refused. */
  readonly #until = new Map<RecordKey, number>();

  constructor(
    private readonly store: RecordStore,
    private readonly locks: Locks,
  ) {}

  add(key: RecordKey): void {
    const now = this.locks.now();
    this.#until.delete(key);
    this.#until.set(key, now + rememberedMs);
    for (const [oldest, untilMs] of this.#until) {
      if (now < untilMs) break;
      this.#until.delete(oldest);
    }
  }

  /** How long a claim that the store would let win is still refused by the lock, ms; 0 when it is worth to ask. */
  async stillBlockedMs({ lease: { key }, mayTake }: ClaimRequest): Promise<number> {
    const untilMs = this.#until.get(key);
    if (untilMs === undefined) return 0;
    if (untilMs > this.locks.now()) {
      const state = (await this.store.peek(key, false))?.state;
      const wouldWin = state === undefined || (state === "in_doubt" && mayTake);
      if (!wouldWin) return 0;
      const remainingMs = await this.locks.remainingMs(key);
      if (remainingMs > 0) {
        this.add(key);
        return remainingMs;
      }
    }
    this.#until.delete(key);
    return 0;
  }
}
