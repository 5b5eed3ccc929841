import type { EventHub } from "../events.js";
import type { Lease, Policy } from "../model.js";
import { type RecordStore, StoreUnavailableError } from "../store/record-store.js";

interface Pending {
  readonly lease: Lease;
  /** By this process's monotonic clock: from then on the claim can no longer be carried out. */
  readonly settledAtMs: number;
  /** By the same clock: from then on there is no record any more. */
  readonly forgottenAtMs: number;
}

const firstPauseMs = 50;
const longestPauseMs = 1000;
/** At once. In a cluster some may be for a node that is away: they must not be in the others' way. */
const together = 64;
/** So many at once that all failed, again, are enough for one pass. */
const mostInVain = 4;
/** Some 10 MB; more claims than that are not lost unseen in one outage without the caller having given up. */
const mostPending = 50_000;

/**
 * Takes back claims whose answer was lost. Nothing was sent for them, so their records must not end in doubt: each is
 * withdrawn by its token, again and again until the store says so at a time when the claim cannot happen any more, until
 * its record is forgotten, or until the store refuses it for good.
 */
export class Withdrawals {
  readonly #pending = new Set<Pending>();
  /** Those whose server was away the last time. */
  readonly #putOff = new Set<Pending>();
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(
    private readonly store: RecordStore,
    private readonly hub: EventHub,
  ) {}

  add(lease: Lease, { leaseMs, inDoubtRetentionMs }: Pick<Policy, "leaseMs" | "inDoubtRetentionMs">): void {
    if (this.#count >= mostPending) {
      this.hub.emit("fault", {
        what: "too many claims wait to be withdrawn; this one will be in doubt when its lease ends",
        key: lease.key.slice(0, 8),
      });
      return;
    }
    const settledAtMs = performance.now() + this.store.withdrawAfterMs;
    this.#pending.add({ lease, settledAtMs, forgottenAtMs: settledAtMs + leaseMs + inDoubtRetentionMs });
    this.#running ??= this.#run();
  }

  /** Resolves when nothing is left to withdraw, or after `close`. */
  async idle(): Promise<void> {
    await this.#running;
  }

  close(): void {
    this.#closed = true;
  }

  get #count(): number {
    return this.#pending.size + this.#putOff.size;
  }

  async #run(): Promise<void> {
    let pauseMs = firstPauseMs;
    while (this.#count > 0 && !this.#closed) {
      const answered = await this.#pass();
      pauseMs = answered ? firstPauseMs : Math.min(pauseMs * 2, longestPauseMs);
      if (this.#count > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    // In the turn that saw that nothing is left: what is added from here on begins anew.
    this.#running = undefined;
  }

  /** Whether all were answered. */
  async #pass(): Promise<boolean> {
    const isAnswered = await this.#tryAll([...this.#pending], Number.POSITIVE_INFINITY);
    return (await this.#tryAll([...this.#putOff], mostInVain)) && isAnswered;
  }

  async #tryAll(all: readonly Pending[], most: number): Promise<boolean> {
    let isAnswered = true;
    for (let at = 0, inVain = 0; at < all.length && inVain < most; at += together) {
      const part = all.slice(at, at + together);
      const answers = await Promise.all(part.map((pending) => this.#withdraw(pending)));
      if (!answers.includes(true)) inVain += 1;
      if (answers.includes(false)) isAnswered = false;
    }
    return isAnswered;
  }

  async #withdraw(pending: Pending): Promise<boolean> {
    const askedAtMs = performance.now();
    try {
      await this.store.withdraw(pending.lease);
    } catch (error) {
      this.#pending.delete(pending);
      this.#putOff.delete(pending);
      if (error instanceof StoreUnavailableError && askedAtMs < pending.forgottenAtMs) {
        // Last among those, in the next pass.
        this.#putOff.add(pending);
        return false;
      }
      this.hub.emit("fault", {
        what: "a claim cannot be withdrawn; it will be in doubt when its lease ends",
        key: pending.lease.key.slice(0, 8),
        error: error as Error,
      });
      return true;
    }
    this.#putOff.delete(pending);
    if (askedAtMs >= pending.settledAtMs) this.#pending.delete(pending);
    else this.#pending.add(pending);
    return true;
  }
}
