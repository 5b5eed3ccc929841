import type { EventHub } from "../events.js";
import type { Attempt, DoubtCause, Landing, Lease, Outcome } from "../model.js";
import type { RecordStore } from "../store/record-store.js";
import type { Work } from "./answer.js";
import { Keeper } from "./keeper.js";
import { aboutOf, Settler } from "./settle.js";

/** A claim that was won. */
export interface Won {
  readonly lease: Lease;
  /** When the claim was sent, by the monotonic clock: the lease cannot have begun earlier. */
  readonly askedAtMs: number;
  /** Why the record was in doubt before. */
  readonly taken: DoubtCause | null;
}

/** How an execution ended. Without an outcome it was probed, and nothing was sent. */
export interface Ended {
  readonly outcome: Outcome | undefined;
  /** For everybody but the client whose request was run. */
  readonly landing: Landing;
}

/** The upstream calls this process makes, each under a lease that is renewed until its end is written. */
export class Executions {
  readonly #running = new Map<Lease, Attempt>();
  readonly #keeper: Keeper;
  readonly #settler: Settler;

  constructor(
    private readonly store: RecordStore,
    private readonly hub: EventHub,
  ) {
    this.#keeper = new Keeper(store);
    this.#settler = new Settler(store, hub);
  }

  /**
   * A process that was paused between its claim and now may hold a lease that is over. Where takeovers are allowed
   * somebody else may run by now, so it asks before it sends.
   */
  async isStillOurs(won: Won, attempt: Attempt): Promise<boolean> {
    const { leaseMs, retentionMs } = attempt.policy;
    if (performance.now() - won.askedAtMs < leaseMs / 2) return true;
    try {
      return (await this.store.extend(won.lease, leaseMs, retentionMs)) === "kept";
    } catch {
      return false;
    }
  }

  async run(attempt: Attempt, work: Work, won: Won, mustProbe: boolean): Promise<Ended> {
    const { lease } = won;
    const { leaseMs, retentionMs } = attempt.policy;
    const about = aboutOf(attempt);
    this.#running.set(lease, attempt);
    this.hub.emit("flightBegun", about);
    const kept = this.#keeper.keep(lease, leaseMs, retentionMs, won.askedAtMs, () => this.hub.emit("leaseLost", about));
    try {
      if (mustProbe) {
        const answer = await work.probe();
        if (answer.kind !== "notDone") {
          this.#keeper.drop(kept);
          const landing = await this.#settler.settleProbed(attempt, lease, kept, answer, won.taken);
          return { outcome: undefined, landing };
        }
      }
      const outcome = await work.run();
      this.#keeper.drop(kept);
      return { outcome, landing: await this.#settler.settle(attempt, lease, kept, outcome, won.taken) };
    } finally {
      this.#keeper.drop(kept);
      this.#running.delete(lease);
      this.hub.emit("flightEnded", about);
    }
  }

  /** Resolves when nothing runs and nothing is being written. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    await this.#settler.idle();
  }

  /** What still runs is left in doubt. */
  async abandon(): Promise<void> {
    await Promise.all(
      [...this.#running].map(([lease, attempt]) => {
        const about = aboutOf(attempt);
        this.hub.emit("fault", { what: "the drain is over: an execution is left in doubt", ...about });
        this.hub.emit("inDoubt", { ...about, cause: "reset" });
        // Without the store the lease runs out, which comes to the same.
        return this.store.strand(lease, "reset", undefined, attempt.policy.retentionMs).catch(() => undefined);
      }),
    );
  }
}
