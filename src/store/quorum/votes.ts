import { ExecutionError, ResourceLockedError } from "redlock";
import { inTime } from "./in-time.js";

/** How the nodes voted on an operation that found no majority. */
export interface Votes {
  /** Nodes that answered no: the lock is somebody else's, or, when it is renewed, no longer ours. */
  readonly refusing: number;
  /** Why each of the others that did not agree gave no answer. */
  readonly failing: readonly string[];
}

/**
 * `redlock` rejects with the same error whether a lock is held or its nodes are away; only the votes tell. They may not
 * all come in, so there is a time limit. `undefined`: they cannot be told.
 */
export async function readVotes(error: unknown, waitMs: number): Promise<Votes | undefined> {
  const attempt = error instanceof ExecutionError ? error.attempts[0] : undefined;
  if (attempt === undefined) return undefined;
  try {
    const { votesAgainst } = await inTime(attempt, waitMs);
    const reasons = [...votesAgainst.values()];
    const failing = reasons.filter((reason) => !(reason instanceof ResourceLockedError));
    return { refusing: reasons.length - failing.length, failing: failing.map((reason) => reason.message) };
  } catch {
    return undefined;
  }
}
