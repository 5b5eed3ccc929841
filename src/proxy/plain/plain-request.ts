import { isNamed } from "../../rules/headers.js";
import { type FieldSink, plainLength, readFieldLines, sieveFor, targetEnd } from "./field-lines.js";

/** The head of a request that a full parser would read in the same way, and of which it would make nothing more. */
export interface PlainRequest {
  readonly method: string;
  readonly target: string;
  /** Names and values alternating, as received. */
  readonly rawHeaders: string[];
  readonly bodyAt: number;
  readonly bodyBytes: number;
}

const methods = ["POST", "PATCH", "PUT", "DELETE"];
const version = "HTTP/1.1\r\n";

/**
 * Reads a request of the plainest form: an unsafe method, HTTP/1.1, a target in origin form, a body with a length or none,
 * a connection that stays open, and nothing that wants an answer of its own (`Expect`, `Upgrade`). `undefined` for
 * everything else, and for a head that has not arrived whole. `text` has one character for each octet.
 */
export function readPlainRequest(text: string): PlainRequest | undefined {
  const method = methods.find((name) => text.startsWith(name) && text.charCodeAt(name.length) === 0x20);
  if (method === undefined || text.charCodeAt(method.length + 1) !== 0x2f) return undefined;
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const end = targetEnd(text, method.length + 1);
  if (end < 0 || !text.startsWith(version, end + 1)) return undefined;
  const sink: FieldSink = { pairs: [], marked: [], sieve };
  const bodyAt = readFieldLines(text, end + 1 + version.length, headEnd, sink);
  if (bodyAt === "odd") return undefined;
  const bodyBytes = bodyLength(sink);
  if (bodyBytes === undefined) return undefined;
  return { method, target: text.slice(method.length + 1, end), rawHeaders: sink.pairs, bodyAt, bodyBytes };
}

/** Node takes the first of them for `Connection`. */
const unwanted = ["proxy-connection", "transfer-encoding", "upgrade", "expect", "trailer"];
const sieve = sieveFor(["content-length", "connection", ...unwanted]);

/** `undefined` where a field says more about the connection or the body than a length. */
function bodyLength({ pairs, marked }: FieldSink): number | undefined {
  let length: number | undefined;
  for (const at of marked) {
    const [name, value] = [pairs[at]!, pairs[at + 1]!];
    if (isNamed(name, "content-length")) {
      if (length !== undefined) return undefined;
      length = plainLength(value);
      if (length === undefined) return undefined;
    } else if (isNamed(name, "connection")) {
      if (!isNamed(value, "keep-alive")) return undefined;
    } else if (unwanted.some((one) => isNamed(name, one))) {
      return undefined;
    }
  }
  return length ?? 0;
}
