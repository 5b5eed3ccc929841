import type { EventHub } from "../events.js";
import type { Attempt, DoubtCause, Landing, Lease, Outcome, Policy, StreamedResponse } from "../model.js";
import type { RecordStore } from "../store/record-store.js";
import { TurnoverMap } from "../turnover.js";
import { always, type Work } from "./answer.js";
import { Keeper, type Kept } from "./keeper.js";
import { aboutOf, originOf, Settler, tellDoubt } from "./settle.js";

/**
 * Where another gateway may take a doubt over, nothing is sent unless the store has said so lately that the lease is held,
 * ms: a step of the store's clock ends leases early, and no clock of this process shows it.
 */
const confirmedMs = 250;
/** A lease that is not confirmed lately is asked for, and the request begins to be sent again: so often at most. */
const freshTries = 10;

/** A claim that was won. */
export interface Won {
  readonly lease: Lease;
  /** When the claim was sent, by the monotonic clock: the lease cannot have begun earlier. */
  readonly askedAtMs: number;
  /** Why the record was in doubt before. */
  readonly taken: DoubtCause | null;
}

/** Gives a response that has only begun to the client whose request was run. */
type Begun = (response: StreamedResponse) => void;

interface Execution {
  readonly attempt: Attempt;
  readonly work: Work;
  readonly won: Won;
  readonly kept: Kept;
  readonly begun: Begun;
}

/** How an execution ended. Without an outcome it was probed, and nothing was sent. */
export interface Ended {
  readonly outcome: Outcome | undefined;
  /** For everybody but the client whose request was run. */
  readonly landing: Landing;
  /** The store has the response, which is replayed from now on. */
  readonly isStored: boolean;
}

/** The upstream calls this process makes, each under a lease that is renewed until its end is written. */
export class Executions {
  readonly #running = new TurnoverMap<Kept, Attempt>();
  readonly #keeper: Keeper;
  readonly #settler: Settler;

  constructor(
    private readonly store: RecordStore,
    private readonly hub: EventHub,
    withdraw: (lease: Lease, policy: Policy) => void,
  ) {
    this.#keeper = new Keeper(store);
    this.#settler = new Settler(store, hub, withdraw);
  }

  /** Whether so little time has passed that the lease cannot be over. */
  isSurelyOurs(askedAtMs: number, attempt: Attempt): boolean {
    return performance.now() - askedAtMs < attempt.policy.leaseMs / 2;
  }

  /**
   * A process that was paused between its claim and now may hold a lease that is over. Where takeovers are allowed
   * somebody else may run by now, so it asks before it begins. Returns when the lease was asked for that it has;
   * `undefined`: it may have none.
   */
  async askedFor(
    { lease, askedAtMs }: Pick<Won, "lease" | "askedAtMs">,
    attempt: Attempt,
  ): Promise<number | undefined> {
    const { leaseMs, inDoubtRetentionMs } = attempt.policy;
    if (this.isSurelyOurs(askedAtMs, attempt)) return askedAtMs;
    const againAtMs = performance.now();
    try {
      return (await this.store.extend(lease, leaseMs, inDoubtRetentionMs)) === "kept" ? againAtMs : undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * It may be paused again before anything is sent, or wait for a connection, or for what a probe finds: so the lease is
   * looked at once more right before the first octet is written.
   */
  async run(attempt: Attempt, work: Work, won: Won, mustProbe: boolean, begun: Begun): Promise<Ended> {
    const { lease } = won;
    const { leaseMs, inDoubtRetentionMs } = attempt.policy;
    const about = aboutOf(attempt);
    this.hub.emit("flightBegun", about);
    const kept = this.#keeper.keep(lease, leaseMs, inDoubtRetentionMs, won.askedAtMs, () =>
      this.hub.emit("leaseLost", about),
    );
    this.#running.set(kept, attempt);
    try {
      const execution = { attempt, work, won, kept, begun };
      return await (mustProbe ? this.#probe(execution) : this.#send(execution, false));
    } finally {
      this.#keeper.drop(kept);
      this.#running.delete(kept);
      this.hub.emit("flightEnded", about);
    }
  }

  /** `isDenied`: the upstream has said that what was in doubt was not done. */
  async #send({ attempt, work, won, kept, begun }: Execution, isDenied: boolean): Promise<Ended> {
    const { lease, taken } = won;
    let outcome = await this.#dispatch(attempt.policy, work, kept);
    if (outcome.kind === "streamed") outcome = await ending(outcome, begun);
    this.#keeper.drop(kept);
    const doubt = isDenied && outcome.kind !== "unsent" ? null : taken;
    const settled = await this.#settler.settle(attempt, lease, kept, outcome, doubt);
    return { outcome, ...settled };
  }

  #dispatch({ mode, inDoubt }: Policy, work: Work, kept: Kept): Promise<Outcome> {
    if (mode === "observe") return work.run(always);
    if (inDoubt === "hold") return work.run(() => this.#keeper.isSurelyHeld(kept));
    return this.#dispatchFresh(work, kept);
  }

  /** While it waits for a connection the lease is confirmed again and again, so that it is fresh when there is one. */
  async #dispatchFresh(work: Work, kept: Kept): Promise<Outcome> {
    for (let tries = 1; ; tries++) {
      let isStale = false;
      const timer = setInterval(() => void this.#keeper.renew(kept), confirmedMs / 2);
      const outcome = await work.run(() => {
        clearInterval(timer);
        const isHeld = this.#keeper.isSurelyHeld(kept);
        isStale = isHeld && !this.#keeper.isConfirmedWithin(kept, confirmedMs);
        return isHeld && !isStale;
      });
      clearInterval(timer);
      if (!isStale || tries === freshTries) return outcome;
      await this.#keeper.renew(kept);
      if (kept.isLost) return outcome;
    }
  }

  /** Only an upstream that says that nothing was done is sent the request. */
  async #probe(execution: Execution): Promise<Ended> {
    const { attempt, work, won, kept } = execution;
    const answer = await work.probe();
    if (answer.kind === "notDone") return this.#send(execution, true);
    this.#keeper.drop(kept);
    const settled = await this.#settler.settleProbed(attempt, won.lease, kept, answer, won.taken);
    return { outcome: undefined, ...settled };
  }

  /** Resolves when nothing is being written behind the clients' backs any more. */
  idle(): Promise<void> {
    return this.#settler.idle();
  }

  /** What still runs is left in doubt. What still waits to be sent is not sent any more: somebody may take it over. */
  async abandon(): Promise<void> {
    await Promise.all(
      [...this.#running].map(([kept, attempt]) => {
        this.#keeper.giveUp(kept);
        const about = aboutOf(attempt);
        this.hub.emit("fault", { what: "the drain is over: an execution is left in doubt", ...about });
        return this.store.strand(kept.lease, "reset", undefined, originOf(attempt)).then(
          (answer) => {
            if (answer === "stranded") tellDoubt(this.hub, kept, attempt, "reset");
          },
          // Without the store the lease runs out, and the next sweep finds that.
          () => undefined,
        );
      }),
    );
  }
}

/** The execution lasts for as long as its stream; a torn one is no answer, whatever its status said. */
async function ending(streamed: Extract<Outcome, { kind: "streamed" }>, begun: Begun): Promise<Outcome> {
  const { response } = streamed;
  begun(response);
  const end = await response.body.ended;
  return end.kind === "whole" ? streamed : { kind: "unanswered", error: end.error, cause: end.cause };
}
