import { isNamed } from "../../rules/headers.js";
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
const statusLine = /^HTTP\/1\.1 ([2-5][0-9]{2})(?: ([\x20-\x7e]*))?\r\n/;
/** A head that has not arrived whole by then is left to the full parser and its limits. */
const maxHeadLength = 32 * 1024;

/**
 * Reads the head of an answer to a request that was not `HEAD`. Not read here: interim answers, those that end with their
 * connection, and those whose upstream forbids to collect them.
 */
export function readPlainHead(text: string): HeadRead {
  if (text.length < version.length) return version.startsWith(text) ? "partial" : "odd";
  if (!text.startsWith(version)) return "odd";
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return text.length > maxHeadLength ? "odd" : "partial";
  const line = statusLine.exec(text);
  const status = Number(line?.[1]);
  if (line === null) return "odd";
  const sink: FieldSink = { pairs: [], marked: [], sieve };
  const bodyAt = readFieldLines(text, line[0].length, headEnd, sink);
  const rawHeaders = sink.pairs;
  if (bodyAt === "odd") return "odd";
  const framing = framingOf(sink, isBodiless(status));
  if (framing === undefined) return "odd";
  return { status, reason: line[2] ?? "", rawHeaders, bodyAt, ...framing };
}

/** RFC 9112 §6.3: whatever its fields say. */
function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
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
]);

function framingOf({ pairs, marked }: FieldSink, isBodiless: boolean): Framing | undefined {
  let bodyBytes: Framing["bodyBytes"] | undefined;
  let keptMs: number | undefined;
  let contentType: string | undefined;
  for (const at of marked) {
    const [name, value] = [pairs[at]!, pairs[at + 1]!];
    if (isNamed(name, "content-length")) {
      if (bodyBytes !== undefined) return undefined;
      bodyBytes = plainLength(value);
      if (bodyBytes === undefined) return undefined;
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
    }
  }
  if (isBodiless) return bodyBytes === "chunked" ? undefined : { bodyBytes: 0, keptMs, contentType };
  return bodyBytes === undefined ? undefined : { bodyBytes, keptMs, contentType };
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
