import type { ProblemCode } from "../model.js";

/** What each code means to whoever reads the policy page, and what to do about it. */
export const problemMeanings: Readonly<Record<ProblemCode, string>> = Object.freeze({
  "no-route": "Nothing is served at this method, host and path.",
  "request-ambiguous":
    "Two servers could read this request differently: for example dot segments, an encoded slash, or two lengths. Nothing was sent on. Send it in its plain form.",
  "loop-detected":
    "The Via of the request names this gateway: the address of an upstream leads back to it. Nothing was claimed or sent. The operator has to correct the route.",
  "headers-too-many": "Nothing was sent on. Send fewer header fields.",
  "key-missing":
    "This route takes requests with an idempotency key only. Make a new one for each operation, and send it again with each retry.",
  "key-invalid":
    "The key is too long, has characters this route does not take, was given twice, is a template that nothing was filled into, or does not tell when it was made where the route asks for that.",
  "key-expired":
    "The key was made longer ago than this route takes, and nothing is known of it any more: whether its request was carried out before cannot be said. Nothing was sent on.",
  "scope-missing": "What tells whose key it is, such as the Authorization header, is not in the request.",
  "body-too-large": "The body is over this route's limit. Nothing was sent on.",
  overloaded:
    "The gateway holds as many request bodies as it may. Nothing was sent on: retry after the time in Retry-After, with the same key.",
  "key-reused":
    "The key belongs to an earlier request with another method, path, query or body. Use a new key for a new operation.",
  "in-progress":
    "The first request with this key is still being processed. Retry after the time in Retry-After, with the same key.",
  "outcome-unknown":
    "A request with this key was sent on, and nobody can know whether it was carried out. It is not repeated until that has been settled. Do not retry under a new key before you have looked whether the operation took place.",
  "response-not-stored":
    "The request was carried out once, but its response was too large to keep or was a stream. It is not repeated. Look up the result instead.",
  "store-unavailable": "The record of this key cannot be read now, so nothing was sent on. Retry with the same key.",
  "upstream-unreachable": "No connection was made, so nothing can have happened. Retry with the same key.",
  "upstream-reset":
    "The connection broke after the request was sent: it may have been carried out. Further requests with this key are answered outcome-unknown or by what is found out.",
  "upstream-timeout":
    "No answer came in time, although the request was sent: it may have been carried out. Further requests with this key are answered outcome-unknown or by what is found out.",
  internal: "A fault in the gateway itself. Retry with the same key; tell the operator the instance.",
  unauthorized: "Admin port: the bearer token is missing or wrong.",
  forbidden: "Admin port: asked under a foreign name, or for another site's page.",
  "not-found": "Admin port: no such path or record.",
  "method-not-allowed":
    "The path is served, but not with this method: Allow names those that are. On the admin port likewise.",
  "record-in-flight": "Admin port: the record's request is being processed; it can be deleted afterwards.",
  "record-not-in-doubt": "Admin port: only a record in doubt can be resolved.",
  "record-changed":
    "Admin port: the record has moved on since it was read with the ETag in If-Match. Nothing was written; read it again.",
  "request-invalid": "Admin port: a parameter or the body is not as it should be. The detail says which.",
});
