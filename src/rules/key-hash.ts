import type { KeyHash } from "../model.js";
import { frame, sha256 } from "./frame.js";

/**
 * Of a key alone, in the order of its sources, without namespace and scope (decision 0030). Framed under a name of its
 * own, so that it can never be the id of a record.
 */
export function keyHash(values: readonly string[]): KeyHash {
  return sha256(frame(["key alone", values])) as KeyHash;
}
