import type { Claim, Fingerprint, Landing, Policy, ProblemNote, StoredResponse } from "../model.js";

/** What the gateway does with a request, given the store's answer. */
export type Verdict =
  | { readonly kind: "run" }
  /** Ours now, but in doubt before: ask the upstream what happened before anything is sent. */
  | { readonly kind: "probe" }
  | { readonly kind: "wait" }
  | { readonly kind: "replay"; readonly response: StoredResponse; readonly ageMs: number; readonly remainingMs: number }
  | { readonly kind: "share"; readonly landing: Landing }
  | {
      readonly kind: "reject";
      readonly problem: ProblemNote;
      readonly result: "mismatch" | "in_progress" | "outcome_unknown" | "rejected";
    };

/**
 * Precedence, highest first:
 * 1. the caller owns the record: it runs, or probes;
 * 2. another fingerprint: refused in whatever state the record is, in flight or not;
 * 3. the state of the record.
 */
export function judge(claim: Claim, fingerprint: Fingerprint, policy: Policy): Verdict {
  if (claim.kind === "won") {
    return claim.taken !== null && policy.inDoubt === "probe" ? { kind: "probe" } : { kind: "run" };
  }
  if (claim.fingerprint !== fingerprint) return { kind: "reject", problem: keyReused, result: "mismatch" };
  switch (claim.kind) {
    case "held":
      return policy.concurrency === "wait"
        ? { kind: "wait" }
        : { kind: "reject", problem: inProgress, result: "in_progress" };
    case "done":
      return { kind: "replay", response: claim.response, ageMs: claim.ageMs, remainingMs: claim.remainingMs };
    case "landed":
      return { kind: "share", landing: claim.landing };
    case "inDoubt":
      return { kind: "reject", problem: outcomeUnknown, result: "outcome_unknown" };
    case "notReplayable":
      return { kind: "reject", problem: responseNotStored, result: "rejected" };
  }
}

const keyReused: ProblemNote = {
  code: "key-reused",
  detail:
    "This idempotency key was used for a request with another method, path, query or body. The earlier request and its response are untouched. Send a new request with a new key.",
};

export const inProgress: ProblemNote = {
  code: "in-progress",
  detail: "A request with this idempotency key is still being processed. Send the same request again later.",
  retryAfterSeconds: 1,
};

export const outcomeUnknown: ProblemNote = {
  code: "outcome-unknown",
  detail:
    "The request was sent, and nobody can know whether the upstream carried it out. It is not sent again until that is decided. Ask the operator of this service, or look at the resource itself.",
};

export const keyExpired: ProblemNote = {
  code: "key-expired",
  detail:
    "This idempotency key was made longer ago than this route takes, and has no record (any more). Nothing was sent. Find out whether the first request was carried out before you send it with a new key.",
};

export const responseNotStored: ProblemNote = {
  code: "response-not-stored",
  detail:
    "The request was carried out, but its response was too large or a stream, and was not stored. It is not sent again.",
};
