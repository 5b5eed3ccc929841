import type { Would } from "../events.js";
import type { ProblemNote } from "../model.js";
import type { Verdict } from "../rules/judge.js";
import { always, ownAnswer } from "./answer.js";
import type { Client } from "./flight.js";

const storeUnavailable: ProblemNote = {
  code: "store-unavailable",
  detail: "The record store cannot be reached, so nothing was sent. Send the same request again later.",
  retryAfterSeconds: 1,
};

/** The store cannot say whether this request has run: it is refused, or, where the route wants it so, sent unprotected. */
export async function answerWithoutStore(client: Client): Promise<void> {
  if (client.attempt.policy.storeUnavailable === "reject") {
    client.reply({ kind: "problem", problem: storeUnavailable, result: "rejected" });
    return;
  }
  client.reply(ownAnswer(await client.work.run(always), undefined, "bypassed"));
}

/** The label `would` of `observed_total`. */
export function wouldHave(verdict: Verdict): Would {
  switch (verdict.kind) {
    case "replay":
    case "share":
      return "replay";
    case "wait":
      return "wait";
    case "reject":
      if (verdict.result === "mismatch") return "mismatch";
      if (verdict.result === "outcome_unknown") return "outcome_unknown";
      return verdict.problem.code === "response-not-stored" ? "response_not_stored" : "reject";
    case "run":
    case "probe":
      return "reject";
  }
}
