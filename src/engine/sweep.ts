import type { EventHub } from "../events.js";
import type { RecordStore } from "../store/record-store.js";

/** Between two sweeps, ms, ± a quarter so that gateways take turns: a lease that ran out is a doubt within a minute. */
const usualPauseMs = 30_000;
/** Of one question to the store. */
const atOnce = 1000;

/**
 * Turns leases that ran out into doubts, so that they are counted and logged whether a retry comes or not. Every gateway
 * does it, and the store tells each of them of other records.
 */
export class Sweep {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(
    private readonly store: RecordStore,
    private readonly hub: EventHub,
    private readonly pauseMs: number = usualPauseMs,
  ) {
    this.#schedule();
  }

  /** Resolves when none is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(): void {
    this.#timer = setTimeout(
      () => {
        this.#running = this.#run().finally(() => {
          this.#running = undefined;
          if (!this.#isStopped) this.#schedule();
        });
      },
      this.pauseMs * (0.75 + Math.random() / 2),
    ).unref();
  }

  async #run(): Promise<void> {
    try {
      for (let isMore = true; isMore && !this.#isStopped; ) {
        const swept = await this.store.sweep(atOnce);
        for (const { key, route } of swept) {
          this.hub.emit("inDoubt", { route, key: key.slice(0, 8), cause: "lease_expired" });
        }
        isMore = swept.length === atOnce;
      }
    } catch {
      // The store is away, and counts that itself. The next sweep finds what is left.
    }
  }
}
