import type { ProblemCode, ProblemNote, RecordKey } from "./model.js";

interface ProblemKind {
  readonly status: number;
  readonly title: string;
  /** Whether the same request, sent again unchanged, may succeed. */
  readonly retryable: boolean;
}

/** Every answer of the gateway's own. The code is the key here, the docs anchor, the log field and the type URI's end. */
export const problems: Readonly<Record<ProblemCode, ProblemKind>> = Object.freeze({
  "no-route": { status: 404, title: "No route matches this request", retryable: false },
  "request-ambiguous": { status: 400, title: "The request can be read in more than one way", retryable: false },
  "loop-detected": { status: 508, title: "The request has passed this gateway before", retryable: false },
  "headers-too-many": { status: 431, title: "The request has too many header fields", retryable: false },
  "key-missing": { status: 400, title: "An idempotency key is required", retryable: false },
  "key-invalid": { status: 400, title: "The idempotency key is not valid", retryable: false },
  "key-expired": { status: 410, title: "The idempotency key is too old", retryable: false },
  "scope-missing": { status: 400, title: "The request does not say whose key it is", retryable: false },
  "body-too-large": { status: 413, title: "The request body is too large", retryable: false },
  overloaded: { status: 503, title: "The gateway holds too many request bodies", retryable: true },
  "key-reused": { status: 422, title: "The idempotency key was used for another request", retryable: false },
  "in-progress": { status: 409, title: "A request with this idempotency key is outstanding", retryable: true },
  "outcome-unknown": { status: 409, title: "Nobody can know whether this request was carried out", retryable: false },
  "response-not-stored": {
    status: 409,
    title: "The request was carried out, but its response was not stored",
    retryable: false,
  },
  "store-unavailable": { status: 503, title: "The record store cannot be reached", retryable: true },
  "upstream-unreachable": { status: 502, title: "The upstream could not be reached", retryable: true },
  "upstream-reset": { status: 502, title: "The upstream broke off before it answered", retryable: false },
  "upstream-timeout": { status: 504, title: "The upstream did not answer in time", retryable: false },
  internal: { status: 500, title: "The gateway failed", retryable: false },
  unauthorized: { status: 401, title: "A valid bearer token is required", retryable: false },
  forbidden: { status: 403, title: "This may not be asked from there", retryable: false },
  "not-found": { status: 404, title: "There is nothing here", retryable: false },
  "method-not-allowed": { status: 405, title: "The method is not allowed here", retryable: false },
  "record-in-flight": { status: 409, title: "The record is in flight", retryable: true },
  "record-not-in-doubt": { status: 409, title: "The record is not in doubt", retryable: false },
  "record-changed": { status: 412, title: "The record is not the one that was seen", retryable: false },
  "request-invalid": { status: 400, title: "The request is not valid", retryable: false },
});

/** Which URI a code has as its `type`. */
export interface ProblemTypes {
  /** The code is appended. */
  readonly typeBase: string;
  /** For single codes, used as they are. */
  readonly types: Readonly<Partial<Record<ProblemCode, string>>>;
}

/** What a document says besides its code. */
export interface ProblemContext {
  readonly instance: string;
  readonly route: string | null;
  /** As it was read, `""` for an empty one; `undefined` where none was read. */
  readonly idempotencyKey?: string | undefined;
  /** Further fields: what a page of another origin may read. */
  readonly fields?: readonly string[];
  /** The record's id, where there is one. */
  readonly recordKey?: RecordKey | undefined;
}

export interface ProblemDocument {
  readonly status: number;
  readonly headers: string[];
  readonly body: Buffer;
}

/** The field of every answer that says which record it belongs to: what a client quotes to support. */
export const recordHeader = "Idempotency-Record";

/** The part of a record's id that clients see. */
export function shownId(key: RecordKey): string {
  return key.slice(0, 16);
}

/** The path on the traffic port that publishes the policy and the problem codes. */
export const policyPath = "/.well-known/idempotency";
/** The path on the traffic port that says what `/readyz` says. */
export const readyPath = `${policyPath}/ready`;

/**
 * RFC 9457, with a Stripe-shaped `error` member beside it: SDKs modelled on Stripe's take a JSON body without one
 * for success, whatever its status.
 */
export function problemDocument(note: ProblemNote, context: ProblemContext, config: ProblemTypes): ProblemDocument {
  const kind = problems[note.code];
  const body = Buffer.from(
    JSON.stringify({
      type: config.types[note.code] ?? config.typeBase + note.code,
      title: kind.title,
      status: kind.status,
      detail: note.detail,
      instance: context.instance,
      code: note.code,
      retryable: kind.retryable,
      route: context.route,
      ...(context.idempotencyKey === undefined ? {} : { idempotency_key: context.idempotencyKey }),
      error: { type: "idempotency_error", code: note.code, message: note.detail },
    }),
  );
  const headers = [
    "Content-Type",
    "application/problem+json",
    "Content-Language",
    "en",
    "Content-Length",
    String(body.length),
    "Cache-Control",
    "no-store",
    "Link",
    `<${policyPath}#${note.code}>; rel="describedby"`,
  ];
  if (note.retryAfterSeconds !== undefined) headers.push("Retry-After", String(note.retryAfterSeconds));
  if (note.allow !== undefined) headers.push("Allow", note.allow);
  if (context.fields !== undefined) headers.push(...context.fields);
  if (context.recordKey !== undefined) headers.push(recordHeader, shownId(context.recordKey));
  return { status: kind.status, headers, body };
}
