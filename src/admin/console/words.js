// What the gateway's words mean, for whoever reads them here first.

export const results = {
  executed: "sent on and answered",
  replayed: "given the stored response",
  shared: "waited, given another one's response",
  mismatch: "the key of another request: 422",
  in_progress: "the first one still runs: 409",
  outcome_unknown: "nobody can know: 409",
  rejected: "refused before anything was done",
  bypassed: "store away: forwarded unprotected",
  unprotected: "route without protection",
  error: "upstream unreachable, reset or too late",
};

export const states = {
  in_flight: "in flight",
  completed: "completed",
  in_doubt: "in doubt",
  not_replayable: "not replayable",
};

export const causes = {
  reset: "the connection broke after the request was sent",
  timeout: "no answer came in time",
  status: "the answer's status leaves it open",
  lease_expired: "the gateway that ran it died or stood still",
  lock_lost: "its lock was lost while it ran",
  store_lost: "the store failed after the answer came",
};

export const decided = {
  forgotten: "deleted",
  resolved: "resolved",
  absent: "there was no such record",
  inFlight: "refused: in flight",
  notInDoubt: "refused: not in doubt",
  moved: "refused: the record had changed",
  unanswered: "the store did not answer: perhaps done",
};
