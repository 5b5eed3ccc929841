import { namesBindingScheme } from "../../rules/connection-bound.js";
import { isNamed } from "../../rules/headers.js";
import { isBodiless, mayNotHaveContent } from "../../rules/response-body.js";
import { forbidsBuffering } from "../../rules/streams.js";
import { type FieldSink, plainLength, readFieldLines, sieveFor } from "./field-lines.js";

/** The head of an answer that a full parser would read in the same way. */
export interface PlainHead {
  readonly status: number;
  readonly reason: string;
  /** Names and values alternating, as received. */
  readonly rawHeaders: string[];
  readonly bodyAt: number;
  /** `chunked`: its length is told by the body itself. */
  readonly bodyBytes: number | "chunked";
  /** How long the connection may be kept for the next request, ms; `undefined` where the upstream says nothing, 0: not at all. */
  readonly keptMs: number | undefined;
  readonly contentType: string | undefined;
}

/** `partial`: as far as it has arrived it is plain. */
export type HeadRead = PlainHead | "partial" | "odd";

const version = "HTTP/1.1 ";
const statusLine = /HTTP\/1\.1 ([2-5][0-9]{2})(?: ([\x20-\x7e]*))?\r\n/y;
/** Of every interim answer but 101, after which HTTP is not spoken any more. */
const interimLine = /HTTP\/1\.1 1(?!01)[0-9]{2}[ \r]/y;
/** A head that has not arrived whole by then is left to the full parser and its limits. */
const maxHeadLength = 32 * 1024;

/**
 * Reads the head of an answer to a request that was not `HEAD`. Interim answers before it are skipped (RFC 9110 §15.2: a
 * client must be able to, whether it expects one or not). Not read here: answers that end with their connection, and
 * those whose upstream forbids to collect them.
 */
export function readPlainHead(text: string): HeadRead {
  return readHeadAt(text, 0);
}

function readHeadAt(text: string, from: number): HeadRead {
  if (text.length < from + version.length) return version.startsWith(text.slice(from)) ? "partial" : "odd";
  if (!text.startsWith(version, from)) return "odd";
  const headEnd = text.indexOf("\r\n\r\n", from);
  if (headEnd < 0) return text.length > maxHeadLength ? "odd" : "partial";
  statusLine.lastIndex = from;
  const line = statusLine.exec(text);
  if (line === null) {
    interimLine.lastIndex = from;
    return interimLine.test(text) ? readHeadAt(text, headEnd + 4) : "odd";
  }
  const status = Number(line[1]);
  const sink: FieldSink = { pairs: [], marked: [], sieve };
  const bodyAt = readFieldLines(text, from + line[0].length, headEnd, sink);
  const rawHeaders = sink.pairs;
  if (bodyAt === "odd") return "odd";
  const framing = framingOf(sink, status);
  if (framing === undefined) return "odd";
  return { status, reason: line[2] ?? "", rawHeaders, bodyAt, ...framing };
}

type Framing = Pick<PlainHead, "bodyBytes" | "keptMs" | "contentType">;

const sieve = sieveFor([
  "content-length",
  "content-type",
  "x-accel-buffering",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "trailer",
  "upgrade",
  "www-authenticate",
  "proxy-authenticate",
]);

const noPlaces: readonly number[] = [];

function framingOf({ pairs, marked }: FieldSink, status: number): Framing | undefined {
  let bodyBytes: Framing["bodyBytes"] | undefined;
  let keptMs: number | undefined;
  let contentType: string | undefined;
  let lengthAt = -1;
  let repeatedAt: readonly number[] = noPlaces;
  for (const at of marked) {
    const [name, value] = [pairs[at]!, pairs[at + 1]!];
    if (isNamed(name, "content-length")) {
      const length = value.includes(",") ? repeatedLength(value) : value;
      const bytes = plainLength(length);
      if (bytes === undefined || (bodyBytes !== undefined && pairs[lengthAt + 1] !== length)) return undefined;
      if (bodyBytes === undefined) lengthAt = at;
      else repeatedAt = [at, ...repeatedAt];
      pairs[at + 1] = length;
      bodyBytes = bytes;
    } else if (isNamed(name, "content-type")) {
      contentType ??= value;
    } else if (isNamed(name, "x-accel-buffering")) {
      if (forbidsBuffering(value)) return undefined;
    } else if (isNamed(name, "transfer-encoding")) {
      if (bodyBytes !== undefined || !isNamed(value, "chunked")) return undefined;
      bodyBytes = "chunked";
    } else if (isNamed(name, "connection")) {
      if (/\bclose\b/i.test(value)) keptMs = 0;
    } else if (isNamed(name, "keep-alive")) {
      const seconds = /(?:^|[\s,])timeout=(\d{1,6})\b/i.exec(value)?.[1];
      if (seconds !== undefined && keptMs !== 0) keptMs = Number(seconds) * 1000;
    } else if (isNamed(name, "trailer") || isNamed(name, "upgrade")) {
      return undefined;
    } else if (
      (isNamed(name, "www-authenticate") || isNamed(name, "proxy-authenticate")) &&
      namesBindingScheme(value)
    ) {
      // The next request over this connection might count as this user's. One that belongs to a client is undici's.
      keptMs = 0;
    }
  }
  for (const at of repeatedAt) pairs.splice(at, 2);
  // What announces content that it may not have may be followed by it, late: the next answer could not be told from that.
  if (mayNotHaveContent(status) && bodyBytes !== undefined && bodyBytes !== 0) keptMs = 0;
  if (isBodiless(status)) return bodyBytes === "chunked" ? undefined : { bodyBytes: 0, keptMs, contentType };
  return bodyBytes === undefined ? undefined : { bodyBytes, keptMs, contentType };
}

/** The same length several times in one field is that length (RFC 9110 §8.6); what differs is no length. */
function repeatedLength(value: string): string {
  const [first, ...rest] = value.split(",").map((one) => one.replace(/^ +| +$/g, ""));
  return rest.every((one) => one === first) ? first! : "";
}

/** A body in chunks (RFC 9112 §7.1): where its parts lie and where it ends. */
export interface PlainChunks {
  readonly parts: readonly (readonly [from: number, to: number])[];
  readonly end: number;
}

/** Reads a whole chunked body without extensions and trailers. */
export function readPlainChunks(text: string, bodyAt: number): PlainChunks | "partial" | "odd" {
  const parts: [number, number][] = [];
  let at = bodyAt;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return text.length - at > 16 ? "odd" : "partial";
    if (lineEnd === at || lineEnd - at > 8) return "odd";
    const bytes = hexadecimal(text, at, lineEnd);
    if (bytes === undefined) return "odd";
    const from = lineEnd + 2;
    const to = from + bytes;
    if (text.length < to + 2) return "partial";
    if (text.charCodeAt(to) !== 0x0d || text.charCodeAt(to + 1) !== 0x0a) return "odd";
    if (bytes === 0) return { parts, end: to + 2 };
    parts.push([from, to]);
    at = to + 2;
  }
}

function hexadecimal(text: string, from: number, to: number): number | undefined {
  let value = 0;
  for (let i = from; i < to; i++) {
    const digit = Number.parseInt(text[i]!, 16);
    if (Number.isNaN(digit)) return undefined;
    value = value * 16 + digit;
  }
  return value;
}
