import type { HeaderPairs } from "../model.js";
import { recordHeader } from "../problem.js";
import { connectionNames, headerValue, isNamed, sieveOf, trimSpace } from "./headers.js";

/**
 * The header of an upstream's answer as it may be passed on or stored: in order, with repeats and letter case, less
 * what was meant for the upstream's connection only (RFC 9110 §7.6.1). `omit` holds names in lower case.
 */
export function responseHeaders(received: HeaderPairs, omit?: ReadonlySet<string>): string[] {
  const listed = connectionNames(received);
  const kept: string[] = [];
  const isAllKept = listed.length === 0 && omit === undefined;
  for (let i = 0; i < received.length; i += 2) {
    if (isAllKept && !mayBeHopByHop(received[i]!)) {
      kept.push(received[i]!, received[i + 1]!);
      continue;
    }
    const lower = received[i]!.toLowerCase();
    if (hopByHop.has(lower) || omit?.has(lower)) continue;
    if (listed.length > 0 && listed.includes(lower) && !lower.startsWith("content-")) continue;
    kept.push(received[i]!, received[i + 1]!);
  }
  return kept;
}

/** What the answer of a record becomes for one client. */
export interface Reply {
  readonly method: string;
  readonly status: number;
  /** Of the body when it is whole; `undefined` while it is streamed. */
  readonly bodyBytes: number | undefined;
  /** Trailers need a chunked body, so there is no length beside them. */
  readonly hasTrailers: boolean;
  readonly replayHeader: string;
  /** Whether somebody else's request was executed for this answer. */
  readonly isReplay: boolean;
  /** The part of the record's id that clients see. */
  readonly recordId: string;
  /** Whether what sets a cookie is left out of a replay: the scope does not identify the client. */
  readonly hidesCookies: boolean;
  /** How long ago the answer was stored; `undefined`: no `Age` is told. */
  readonly residentSeconds: number | undefined;
  /** Until when it is kept, as an HTTP date; `undefined`: it is not. */
  readonly expires: string | undefined;
}

/** Until when a stored answer is replayed. */
const expiresHeader = "Idempotency-Expires";

/**
 * The header of the reply, from pairs that `responseHeaders` has cleaned. An upstream's own fields with the names of the
 * replay header and of `Idempotency-Record` never get through: only the gateway says what is a replay, and of which record.
 */
export function replyHeaders(stored: HeaderPairs, reply: Reply): string[] {
  const { residentSeconds, bodyBytes, hasTrailers, expires } = reply;
  const length = bodyBytes === undefined || hasTrailers ? undefined : String(bodyBytes);
  const isBodiless = reply.method === "HEAD" || mayNotHaveBody(reply.status);
  const sent: string[] = [];
  let hasLength = false;
  for (let i = 0; i < stored.length; i += 2) {
    const name = stored[i]!;
    if (isNamed(name, reply.replayHeader)) continue;
    if (!mayBeOurs(name)) {
      sent.push(name, stored[i + 1]!);
      continue;
    }
    if (isNamed(name, recordHeader)) continue;
    if (reply.isReplay && reply.hidesCookies && isNamed(name, "set-cookie")) continue;
    if (residentSeconds !== undefined && isNamed(name, "age")) continue;
    if (expires !== undefined && isNamed(name, expiresHeader)) continue;
    if (!hasTrailers && isNamed(name, "trailer")) continue;
    if (isNamed(name, "content-length")) {
      // RFC 9110 §8.6: none beside 204; a 304 and the answer to HEAD tell the length of what they do not carry.
      if (reply.status === 204) continue;
      if (!isBodiless && (hasTrailers || (length !== undefined && (hasLength || stored[i + 1] !== length)))) continue;
      hasLength = true;
    }
    sent.push(name, stored[i + 1]!);
  }
  if (length !== undefined && !hasLength && !isBodiless) sent.push("Content-Length", length);
  if (residentSeconds !== undefined) sent.push("Age", String(ageOf(stored) + Math.max(0, Math.floor(residentSeconds))));
  if (expires !== undefined) sent.push(expiresHeader, expires);
  if (reply.isReplay) sent.push(reply.replayHeader, "true");
  sent.push(recordHeader, reply.recordId);
  return sent;
}

/** The age it came with (RFC 9111 §5.1): the first `Age`, 0 for one that is no number of seconds. */
function ageOf(stored: HeaderPairs): number {
  const age = trimSpace(headerValue(stored, "age") ?? "");
  return /^[0-9]{1,10}$/.test(age) ? Number(age) : 0;
}

function mayNotHaveBody(status: number): boolean {
  return status === 204 || status === 304 || (status >= 100 && status < 200);
}

const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "te",
  "transfer-encoding",
  "upgrade",
]);

const mayBeHopByHop = sieveOf(hopByHop);
/** Fields that `replyHeaders` may tell anew. */
const mayBeOurs = sieveOf(["age", "trailer", "content-length", "set-cookie", "idempotency-expires", recordHeader]);
