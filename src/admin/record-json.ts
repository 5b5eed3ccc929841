import { isUtf8 } from "node:buffer";
import type { HeaderPairs, StoredResponse } from "../model.js";
import type { RecordView } from "../store/record-store.js";

/** A record as the admin port shows it. */
export type RecordJson = ReturnType<typeof recordJson>;

export function recordJson(view: RecordView) {
  return {
    id: view.key,
    route: view.route,
    namespace: view.namespace,
    state: view.state,
    fingerprint: view.fingerprint,
    attempts: view.attempts,
    status: view.status,
    cause: view.cause,
    createdAt: new Date(view.createdAtMs).toISOString(),
    updatedAt: new Date(view.updatedAtMs).toISOString(),
    expiresAt: new Date(view.expiresAtMs).toISOString(),
  };
}

/** A response as `resolve` takes it as well: header pairs as a list, since order and repeats belong to them. */
export function responseJson(response: StoredResponse) {
  const isText = isUtf8(response.body);
  return {
    status: response.status,
    reason: response.reason,
    headers: pairsOf(response.headers),
    body: response.body.toString(isText ? "utf8" : "base64"),
    bodyEncoding: isText ? ("utf8" as const) : ("base64" as const),
    ...(response.trailers.length > 0 ? { trailers: pairsOf(response.trailers) } : {}),
  };
}

function pairsOf(flat: HeaderPairs): [name: string, value: string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at < flat.length; at += 2) pairs.push([flat[at]!, flat[at + 1]!]);
  return pairs;
}
