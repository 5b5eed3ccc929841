import type { Result } from "../events.js";
import type { Landing, Outcome, ProblemNote, StoredResponse, StreamedResponse } from "../model.js";
import { upstreamProblem } from "../rules/outcome.js";

/** What the engine asks of the outside world on behalf of one request. Made by the proxy; neither function rejects. */
export interface Work {
  /**
   * One upstream call with this request. Called at most once per lease. `isOurs` is asked right before the first octet is
   * written: where it says `false` none is, and the outcome is late.
   */
  run(isOurs: () => boolean): Promise<Outcome>;
  /** Asks the upstream whether an earlier dispatch happened. */
  probe(): Promise<ProbeAnswer>;
}

export type ProbeAnswer =
  | { readonly kind: "done"; readonly response: StoredResponse }
  | { readonly kind: "notDone" }
  | { readonly kind: "unclear"; readonly why: string };

/** Of a call that needs no lease. */
export const always = (): boolean => true;

/** What one client gets. */
export type Answer =
  | {
      readonly kind: "response";
      readonly response: StoredResponse;
      readonly result: Result;
      /** Given by the record and not by this client's own execution: carries the replay header. */
      readonly repeated: boolean;
      /** Since it was stored, for `Age`; `null` where the execution has only just ended. */
      readonly ageMs: number | null;
      /** How long the record keeps it, for `Idempotency-Expires`; `null` where it is not stored. */
      readonly remainingMs: number | null;
    }
  /** Only to the client whose request was run. */
  | { readonly kind: "stream"; readonly response: StreamedResponse; readonly result: Result }
  | {
      readonly kind: "problem";
      readonly problem: ProblemNote;
      readonly result: Result;
      /** Of an execution that was not this client's own (`StoredResponse.executedIn`). */
      readonly executedIn?: string | undefined;
    };

/** The answer of those who waited, or came later: what the execution ended with, marked as repeated. */
export function repeated(
  landing: Landing,
  result: Result,
  remainingMs: number | null,
  ageMs: number | null = null,
): Answer {
  return landing.kind === "response"
    ? { kind: "response", response: landing.response, result, repeated: true, ageMs, remainingMs }
    : { kind: "problem", problem: landing.problem, result, executedIn: landing.executedIn };
}

/** The answer of the client whose request was run: what the upstream said, whole and unmarked. */
export function ownAnswer(
  outcome: Outcome,
  landing: Landing | undefined,
  result: Result,
  remainingMs: number | null = null,
): Answer {
  switch (outcome.kind) {
    case "answered":
      return { kind: "response", response: outcome.response, result, repeated: false, ageMs: null, remainingMs };
    case "streamed":
      return { kind: "stream", response: outcome.response, result };
    default:
      return {
        kind: "problem",
        problem: landing?.kind === "problem" ? landing.problem : upstreamProblem(outcome),
        result: outcome.kind === "unsent" && outcome.isLate ? "in_progress" : "error",
      };
  }
}
