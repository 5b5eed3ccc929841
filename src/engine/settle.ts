import type { EventHub } from "../events.js";
import type { Attempt, DoubtCause, Landing, Lease, Outcome, ProblemNote, StoredResponse } from "../model.js";
import { inProgress, outcomeUnknown, responseNotStored } from "../rules/judge.js";
import { settlement } from "../rules/outcome.js";
import { responseHeaders } from "../rules/response-headers.js";
import type { Completion, Origin, RecordStore } from "../store/record-store.js";
import type { ProbeAnswer } from "./answer.js";
import type { Kept } from "./keeper.js";

/** How long those who wait elsewhere find the answer of a released record, ms; they look at least once a second. */
export const landingMs = 30_000;

const retryPauseMs = 100;

/** A write that ends an execution. It is compared with the lease's token by the store, so it may be sent again. */
type Ending = () => Promise<"stored" | "released" | "withdrawn" | "stranded" | "lost">;

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
    private readonly withdraw: (lease: Lease) => void,
  ) {}

  /**
   * Returns how the flight lands for all but the first client, who is given the outcome itself. `doubt`: as `settlement`
   * has it.
   */
  settle(attempt: Attempt, lease: Lease, kept: Kept, outcome: Outcome, doubt: DoubtCause | null): Promise<Landing> {
    const { policy } = attempt;
    const verdict = settlement(outcome, policy, doubt);
    const landing = landingOf(outcome, attempt, verdict.kind === "complete" ? null : verdict.problem);
    if (verdict.kind === "release" || verdict.kind === "withdraw") {
      const told = landing ?? problemLanding(inProgress, attempt);
      const ending = () =>
        verdict.kind === "withdraw"
          ? this.store.withdraw(lease)
          : this.store.release(lease, { landing: told, landingMs });
      return this.#end(attempt, kept, told, ending, outcome.kind === "unsent");
    }
    if (verdict.kind === "strand") {
      const told = landing ?? problemLanding(outcomeUnknown, attempt);
      this.hub.emit("inDoubt", { ...aboutOf(attempt), cause: verdict.cause });
      return this.#end(attempt, kept, told, () => this.store.strand(lease, verdict.cause, told, policy.retentionMs));
    }
    const completion = landing?.kind === "response" ? landing : completionOf(outcome, attempt);
    return this.#end(attempt, kept, landing ?? problemLanding(responseNotStored, attempt), () =>
      this.store.complete(lease, completion, originOf(attempt)),
    );
  }

  /** Nothing was sent: the probe's answer is the response from now on, or the record is in doubt as it was. */
  settleProbed(
    attempt: Attempt,
    lease: Lease,
    kept: Kept,
    answer: Exclude<ProbeAnswer, { kind: "notDone" }>,
    taken: DoubtCause | null,
  ): Promise<Landing> {
    if (answer.kind === "done") {
      const landing: Landing = { kind: "response", response: forStore(answer.response, attempt) };
      return this.#end(attempt, kept, landing, () => this.store.complete(lease, landing, originOf(attempt)));
    }
    const landing: Landing = { kind: "problem", problem: outcomeUnknown };
    return this.#end(attempt, kept, landing, () =>
      this.store.strand(lease, taken ?? "status", landing, attempt.policy.retentionMs),
    );
  }

  /** Resolves when nothing is being written behind the clients' backs any more. */
  async idle(): Promise<void> {
    while (this.#behind.size > 0) await Promise.all(this.#behind);
  }

  /** Resolves to `told`, whatever becomes of the writing. */
  #end(attempt: Attempt, kept: Kept, told: Landing, ending: Ending, isUnsent = false): Promise<Landing> {
    return begun(ending).then(
      (answer) => {
        if (answer === "lost") this.hub.emit("leaseLost", aboutOf(attempt));
        return told;
      },
      (error: Error) => {
        this.hub.emit("fault", {
          what: "the store did not take the end of an execution; trying again until its lease ends",
          ...aboutOf(attempt),
          error,
        });
        const behind = this.#retry(attempt, kept, ending, isUnsent).finally(() => this.#behind.delete(behind));
        this.#behind.add(behind);
        return told;
      },
    );
  }

  async #retry(attempt: Attempt, kept: Kept, ending: Ending, isUnsent: boolean): Promise<void> {
    const about = aboutOf(attempt);
    while (performance.now() < kept.heldUntilMs) {
      await new Promise((resolve) => setTimeout(resolve, retryPauseMs));
      try {
        if ((await ending()) === "lost") this.hub.emit("leaseLost", about);
        return;
      } catch {
        // Told once, above.
      }
    }
    if (isUnsent) this.withdraw(kept.lease);
    else this.hub.emit("inDoubt", { ...about, cause: "store_lost" });
  }
}

/** A store that throws is one that rejects. */
function begun(ending: Ending): ReturnType<Ending> {
  try {
    return ending();
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

function originOf(attempt: Attempt): Origin {
  return {
    fingerprint: attempt.fingerprint,
    keyHash: attempt.keyHash,
    retentionMs: attempt.policy.retentionMs,
    route: attempt.route.name,
    namespace: attempt.policy.namespace,
  };
}

/** Which record an event is about. */
export function aboutOf(attempt: Attempt): { readonly route: string; readonly key: string } {
  return { route: attempt.route.name, key: attempt.key.slice(0, 8) };
}
