import type { EventHub } from "../events.js";
import type { Lease } from "../model.js";
import type { RecordStore } from "../store/record-store.js";

interface Pending {
  readonly lease: Lease;
  /** By this process's monotonic clock: from then on the claim can no longer be carried out. */
  readonly settledAtMs: number;
}

const firstPauseMs = 50;
const longestPauseMs = 1000;
/** Some 10 MB; more claims than that are not lost unseen in one outage without the caller having given up. */
const mostPending = 50_000;

/**
 * Takes back claims whose answer was lost. Nothing was sent for them, so their records must not end in doubt: each is
 * withdrawn by its token, again and again until the store says so at a time when the claim cannot happen any more.
 */
export class Withdrawals {
  readonly #pending = new Set<Pending>();
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(
    private readonly store: RecordStore,
    private readonly hub: EventHub,
  ) {}

  add(lease: Lease): void {
    if (this.#pending.size >= mostPending) {
      this.hub.emit("fault", {
        what: "too many claims wait to be withdrawn; this one will be in doubt when its lease ends",
        key: lease.key.slice(0, 8),
      });
      return;
    }
    this.#pending.add({ lease, settledAtMs: performance.now() + this.store.withdrawAfterMs });
    this.#running ??= this.#run();
  }

  /** Resolves when nothing is left to withdraw, or after `close`. */
  async idle(): Promise<void> {
    await this.#running;
  }

  close(): void {
    this.#closed = true;
  }

  async #run(): Promise<void> {
    let pauseMs = firstPauseMs;
    while (this.#pending.size > 0 && !this.#closed) {
      let answered = true;
      for (const pending of this.#pending) {
        const askedAtMs = performance.now();
        try {
          await this.store.withdraw(pending.lease);
        } catch {
          answered = false;
          break;
        }
        if (askedAtMs >= pending.settledAtMs) this.#pending.delete(pending);
      }
      pauseMs = answered ? firstPauseMs : Math.min(pauseMs * 2, longestPauseMs);
      if (this.#pending.size > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    // In the turn that saw that nothing is left: what is added from here on begins anew.
    this.#running = undefined;
  }
}
