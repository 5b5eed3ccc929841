import type { AnswerVerdict, DoubtCause, Outcome, Outcomes, Policy, ProblemNote } from "../model.js";
import { inProgress } from "./judge.js";
import { type ReadableAnswer, ruleVerdict } from "./outcome-rules.js";
import { mayDescribeItself, selfDescription } from "./self-description.js";

/** What becomes of the record, by phase first and by status second. */
export type Settlement =
  /** Final: stored and replayed, or remembered as not replayable. */
  | { readonly kind: "complete" }
  /** Not done: the next request with the key runs. */
  | { readonly kind: "release"; readonly problem: ProblemNote | null }
  /** Nothing was sent this time, and what was unknown before is unknown still: the doubt is put back. */
  | { readonly kind: "withdraw"; readonly problem: ProblemNote }
  /** Perhaps done. */
  | { readonly kind: "strand"; readonly cause: DoubtCause; readonly problem: ProblemNote | null };

/**
 * `problem` is what the clients get where there is no answer of the upstream to give them. `doubt` is why the record was
 * in doubt when this execution took it over, and `null` where it was not, or where the upstream has said since that
 * nothing was done: a second attempt that was refused says nothing of the first one.
 */
export function settlement(outcome: Outcome, policy: Policy, doubt: DoubtCause | null): Settlement {
  switch (outcome.kind) {
    case "answered":
    case "streamed": {
      const verdict = verdictOn(outcome, policy.outcomes);
      if (doubt !== null) {
        const { status } = outcome.response;
        const isSettled = verdict === "final" && status >= 200 && status < 400;
        return isSettled ? { kind: "complete" } : { kind: "strand", cause: doubt, problem: null };
      }
      if (verdict === "release") return { kind: "release", problem: null };
      if (verdict === "unknown") return { kind: "strand", cause: "status", problem: null };
      return { kind: "complete" };
    }
    // Refused before a byte was sent, so a retry is safe. Anything later is unanswered.
    case "unsent": {
      const problem = upstreamProblem(outcome);
      return { kind: doubt === null ? "release" : "withdraw", problem };
    }
    case "unanswered":
      return { kind: "strand", cause: doubt ?? outcome.cause, problem: upstreamProblem(outcome) };
  }
}

/** The operator's rules go first, then what the answer says of itself, then its status. */
function verdictOn(
  outcome: Extract<Outcome, { kind: "answered" | "streamed" }>,
  { when, release, unknown }: Outcomes,
): AnswerVerdict {
  const { status } = outcome.response;
  if (when.length > 0 || mayDescribeItself(status)) {
    const answer = readable(outcome);
    const said = ruleVerdict(answer, when) ?? (mayDescribeItself(status) ? selfDescription(answer) : undefined);
    if (said !== undefined) return said;
  }
  if (release.has(status)) return "release";
  return unknown.has(status) ? "unknown" : "final";
}

function readable(outcome: Extract<Outcome, { kind: "answered" | "streamed" }>): ReadableAnswer {
  const { status, headers, trailers = [] } = outcome.response;
  return { status, headers, trailers, body: outcome.kind === "answered" ? outcome.response.body : undefined };
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
