import type { EventHub } from "../events.js";
import type { Attempt, DoubtCause, Landing, Lease, Outcome, Policy, ProblemNote, StoredResponse } from "../model.js";
import { inProgress, outcomeUnknown, responseNotStored } from "../rules/judge.js";
import { settlement } from "../rules/outcome.js";
import { responseHeaders } from "../rules/response-headers.js";
import type { Completion, Origin, RecordStore } from "../store/record-store.js";
import type { ProbeAnswer } from "./answer.js";
import type { Kept } from "./keeper.js";

/** How long those who wait elsewhere find the answer of a released record, ms; they look at least once a second. */
export const landingMs = 30_000;

/** Before a write is repeated, ms: the first time, then doubled up to the last. */
const firstRetryMs = 100;
const lastRetryMs = 2000;

/** A write that ends an execution. It is compared with the lease's token by the store, so it may be sent again. */
interface Ending {
  readonly write: () => Promise<"stored" | "released" | "withdrawn" | "stranded" | "lost">;
  /** Of a write that leaves a doubt: said once the store has it. */
  readonly doubt?: DoubtCause | undefined;
  /** Nothing was sent: the lease is taken back, however late that is. */
  readonly isUnsent?: boolean;
  /** The record is final once this is written, and says so when it is asked. */
  readonly isFinal?: boolean;
}

/** How a flight landed for all but the first client, and whether the store has its response. */
export interface Settled {
  readonly landing: Landing;
  readonly isStored: boolean;
}

/**
 * Writes how an execution ended. Resolves once it is stored — or once it is clear that the store does not take it now:
 * the clients get their answer then all the same, and the writing goes on behind them for as long as the lease lasts.
 * After that the record is in doubt by itself; where nothing was sent it is withdrawn.
 */
export class Settler {
  readonly #behind = new Set<Promise<void>>();

  constructor(
    private readonly store: RecordStore,
    private readonly hub: EventHub,
    /** Takes a lease back under which nothing was sent, whenever the store is there again. */
    private readonly withdraw: (lease: Lease, policy: Policy) => void,
  ) {}

  /** The first client is given the outcome itself. `doubt`: as `settlement` has it. */
  settle(attempt: Attempt, lease: Lease, kept: Kept, outcome: Outcome, doubt: DoubtCause | null): Promise<Settled> {
    const verdict = settlement(outcome, attempt.policy, doubt);
    const landing = landingOf(outcome, attempt, verdict.kind === "complete" ? null : verdict.problem);
    if (verdict.kind === "release" || verdict.kind === "withdraw") {
      const told = landing ?? problemLanding(inProgress, attempt);
      const write = () =>
        verdict.kind === "withdraw"
          ? this.store.withdraw(lease)
          : this.store.release(lease, { landing: told, landingMs });
      return this.#end(attempt, kept, told, { write, isUnsent: outcome.kind === "unsent" });
    }
    if (verdict.kind === "strand") {
      const told = landing ?? problemLanding(outcomeUnknown, attempt);
      // A second attempt that was refused leaves the doubt that was there: it is not counted again.
      const isNew = doubt === null || outcome.kind === "unanswered";
      const write = () => this.store.strand(lease, verdict.cause, told, originOf(attempt));
      return this.#end(attempt, kept, told, { write, doubt: isNew ? verdict.cause : undefined });
    }
    const completion = landing?.kind === "response" ? landing : completionOf(outcome, attempt);
    return this.#complete(attempt, lease, kept, completion, landing ?? problemLanding(responseNotStored, attempt));
  }

  /** Nothing was sent: the probe's answer is the response from now on, or the record is in doubt as it was. */
  settleProbed(
    attempt: Attempt,
    lease: Lease,
    kept: Kept,
    answer: Exclude<ProbeAnswer, { kind: "notDone" }>,
    taken: DoubtCause | null,
  ): Promise<Settled> {
    if (answer.kind === "done") {
      const landing: Landing = { kind: "response", response: forStore(answer.response, attempt) };
      return this.#complete(attempt, lease, kept, landing, landing);
    }
    const landing: Landing = { kind: "problem", problem: outcomeUnknown };
    const write = () => this.store.strand(lease, taken ?? "status", landing, originOf(attempt));
    return this.#end(attempt, kept, landing, { write });
  }

  #complete(attempt: Attempt, lease: Lease, kept: Kept, completion: Completion, told: Landing): Promise<Settled> {
    const write = () => this.store.complete(lease, completion, originOf(attempt));
    return this.#end(attempt, kept, told, { write, isFinal: true });
  }

  /** Resolves when nothing is being written behind the clients' backs any more. */
  async idle(): Promise<void> {
    while (this.#behind.size > 0) await Promise.all(this.#behind);
  }

  /** Resolves with `told`, whatever becomes of the writing. */
  #end(attempt: Attempt, kept: Kept, told: Landing, ending: Ending): Promise<Settled> {
    return begun(ending).then(
      (answer) => {
        this.#written(attempt, kept, ending, answer);
        return { landing: told, isStored: answer === "stored" };
      },
      (error: Error) => {
        this.hub.emit("fault", {
          what: "the store did not take the end of an execution; trying again until its lease ends",
          ...aboutOf(attempt),
          error,
        });
        const behind = this.#retry(attempt, kept, ending).finally(() => this.#behind.delete(behind));
        this.#behind.add(behind);
        return { landing: told, isStored: false };
      },
    );
  }

  #written(attempt: Attempt, kept: Kept, { doubt }: Ending, answer: Awaited<ReturnType<Ending["write"]>>): void {
    if (answer === "lost") this.hub.emit("leaseLost", aboutOf(attempt));
    if (answer === "stranded" && doubt !== undefined) tellDoubt(this.hub, kept, attempt, doubt);
  }

  /**
   * A write that went unanswered may be under way still. So the store is asked first what it has: the question is short,
   * and its answer comes behind that write. It is asked a last time before the end is given up.
   */
  async #retry(attempt: Attempt, kept: Kept, ending: Ending): Promise<void> {
    for (
      let pauseMs = firstRetryMs;
      performance.now() < kept.heldUntilMs;
      pauseMs = Math.min(2 * pauseMs, lastRetryMs)
    ) {
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      try {
        if (await this.#isThere(attempt, ending)) return;
        this.#written(attempt, kept, ending, await ending.write());
        return;
      } catch {
        // Told once, above.
      }
    }
    if (ending.isUnsent) this.withdraw(kept.lease, attempt.policy);
    else if (!(await this.#isThere(attempt, ending).catch(() => false))) {
      tellDoubt(this.hub, kept, attempt, "store_lost");
    }
  }

  async #isThere({ key }: Attempt, { isFinal }: Ending): Promise<boolean> {
    if (isFinal !== true) return false;
    const state = (await this.store.peek(key, false))?.state;
    return state === "completed" || state === "not_replayable";
  }
}

/** A store that throws is one that rejects. */
function begun({ write }: Ending): ReturnType<Ending["write"]> {
  try {
    return write();
  } catch (error) {
    return Promise.reject(error);
  }
}

function landingOf(outcome: Outcome, attempt: Attempt, problem: ProblemNote | null): Landing | undefined {
  if (outcome.kind === "answered") return { kind: "response", response: forStore(outcome.response, attempt) };
  return problem === null ? undefined : problemLanding(problem, attempt);
}

function problemLanding(problem: ProblemNote, { trace }: Attempt): Landing {
  return trace === undefined ? { kind: "problem", problem } : { kind: "problem", problem, executedIn: trace.origin };
}

function completionOf(outcome: Outcome, attempt: Attempt): Completion {
  if (outcome.kind !== "streamed") throw new Error(`an outcome that is ${outcome.kind} completes nothing`);
  const { status, headers } = outcome.response;
  return { kind: "notReplayable", status, headers: responseHeaders(headers, attempt.policy.omitHeaders) };
}

function forStore(response: StoredResponse, attempt: Attempt): StoredResponse {
  const { omitHeaders } = attempt.policy;
  const kept =
    omitHeaders.size === 0 ? response : { ...response, headers: responseHeaders(response.headers, omitHeaders) };
  return attempt.trace === undefined ? kept : { ...kept, executedIn: attempt.trace.origin };
}

export function originOf(attempt: Attempt): Origin {
  return {
    fingerprint: attempt.fingerprint,
    keyHash: attempt.keyHash,
    retentionMs: attempt.policy.retentionMs,
    openRetentionMs: attempt.policy.inDoubtRetentionMs,
    route: attempt.route.name,
    namespace: attempt.policy.namespace,
  };
}

/** Which record an event is about. */
export function aboutOf(attempt: Attempt): { readonly route: string; readonly key: string } {
  return { route: attempt.route.name, key: attempt.key.slice(0, 8) };
}

/** Once for each execution, whichever of its writes the store took first. */
export function tellDoubt(hub: EventHub, kept: Kept, attempt: Attempt, cause: DoubtCause): void {
  if (kept.isDoubtTold) return;
  kept.isDoubtTold = true;
  hub.emit("inDoubt", { ...aboutOf(attempt), cause });
}
