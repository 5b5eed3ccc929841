import type { DoubtCause, Outcome, Policy, ProblemNote } from "../model.js";
import { inProgress } from "./judge.js";

/** What becomes of the record, by phase first and by status second. */
export type Settlement =
  /** Final: stored and replayed, or remembered as not replayable. */
  | { readonly kind: "complete" }
  /** Not done: the next request with the key runs. */
  | { readonly kind: "release"; readonly problem: ProblemNote | null }
  /** Perhaps done. */
  | { readonly kind: "strand"; readonly cause: DoubtCause; readonly problem: ProblemNote | null };

/** `problem` is what the clients get where there is no answer of the upstream to give them. */
export function settlement(outcome: Outcome, policy: Policy): Settlement {
  switch (outcome.kind) {
    case "answered":
    case "streamed": {
      const { status } = outcome.response;
      if (policy.outcomes.release.has(status)) return { kind: "release", problem: null };
      if (policy.outcomes.unknown.has(status)) return { kind: "strand", cause: "status", problem: null };
      return { kind: "complete" };
    }
    // Refused before a byte was sent, so a retry is safe. Anything later is unanswered.
    case "unsent":
      return { kind: "release", problem: upstreamProblem(outcome) };
    case "unanswered":
      return { kind: "strand", cause: outcome.cause, problem: upstreamProblem(outcome) };
  }
}

/** The gateway's own answer where the upstream gave none. Of the error only its code is told: addresses stay inside. */
export function upstreamProblem(outcome: Extract<Outcome, { kind: "unsent" | "unanswered" }>): ProblemNote {
  if (outcome.kind === "unsent") {
    // Somebody else may run by now: whoever asks again hears of it.
    if (outcome.isLate === true) return inProgress;
    return {
      code: "upstream-unreachable",
      detail: `The upstream could not be reached (${codeOf(outcome.error)}). Nothing was sent; the same request may be sent again.`,
      retryAfterSeconds: 1,
    };
  }
  return outcome.cause === "timeout"
    ? {
        code: "upstream-timeout",
        detail:
          "The request was sent, and the upstream did not answer in time. Nobody can know whether it was carried out.",
      }
    : {
        code: "upstream-reset",
        detail: `The request was sent, and the upstream broke off before its answer was complete (${codeOf(outcome.error)}). Nobody can know whether it was carried out.`,
      };
}

function codeOf(error: Error): string {
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? code : error.name;
}
