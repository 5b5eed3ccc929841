import type { Landing, ProblemNote, StoredResponse } from "../model.js";

/*
 * How a response lies in a store. All numbers are big-endian.
 *
 *   0  version      14  octets of the text, u32
 *   1  kind         18  their lengths: of the reason, of each header string, of each trailer string; u32 each
 *   2  status, u16   …  the strings themselves, run together, one octet a character (Latin-1)
 *   4  header strings, u32     …  the body, to the end
 *   8  trailer strings, u32
 *  12  octets of the execution's trace context, u16; they lie between the text and the body
 *
 * Lengths instead of separators: no octet that a lenient upstream sends can shift what follows it. A problem is version,
 * kind and JSON. A blob that is not exactly so throws: it is never guessed at, a wrong replay is worse than none.
 *
 * Version 1 has no trace context. It is still what is written where there is none, so that older programs can read it:
 * they would take a trace context for the beginning of the body, and have to refuse version 2.
 */
const version = 1;
const tracedVersion = 2;
const responseKind = 0x52; // R
const problemKind = 0x50; // P
const lengthsAt = 18;

export function encodeResponse(response: StoredResponse): Buffer {
  const { reason, headers, trailers, body } = response;
  const text = reason + headers.join("") + trailers.join("");
  if (!isLatin1(text)) throw new TypeError("a header or the reason phrase holds a character beyond Latin-1");
  const strings = 1 + headers.length + trailers.length;
  const textAt = lengthsAt + 4 * strings;
  const executedIn = response.executedIn ?? "";
  const bodyAt = textAt + text.length + executedIn.length;
  const blob = Buffer.allocUnsafe(bodyAt + body.length);
  blob[0] = executedIn === "" ? version : tracedVersion;
  blob[1] = responseKind;
  blob.writeUInt16BE(response.status, 2);
  blob.writeUInt32BE(headers.length, 4);
  blob.writeUInt32BE(trailers.length, 8);
  blob.writeUInt16BE(executedIn.length, 12);
  blob.writeUInt32BE(text.length, 14);
  let at = blob.writeUInt32BE(reason.length, lengthsAt);
  for (const part of headers) at = blob.writeUInt32BE(part.length, at);
  for (const part of trailers) at = blob.writeUInt32BE(part.length, at);
  blob.write(text, at, "latin1");
  if (executedIn !== "") blob.write(executedIn, at + text.length, "latin1");
  blob.set(body, bodyAt);
  return blob;
}

/** The body is a view of the blob, not a copy. */
export function decodeResponse(blob: Buffer): StoredResponse {
  expectKind(blob, responseKind, tracedVersion);
  if (blob.length < lengthsAt) throw broken();
  const headerStrings = blob.readUInt32BE(4);
  const trailerStrings = blob.readUInt32BE(8);
  const textOctets = blob.readUInt32BE(14);
  const strings = 1 + headerStrings + trailerStrings;
  const textAt = lengthsAt + 4 * strings;
  const traceAt = textAt + textOctets;
  const isTraced = blob[0] === tracedVersion;
  const bodyAt = traceAt + (isTraced ? blob.readUInt16BE(12) : 0);
  if (isTraced && bodyAt === traceAt) throw broken();
  if (bodyAt > blob.length || headerStrings % 2 !== 0 || trailerStrings % 2 !== 0) throw broken();
  const text = blob.toString("latin1", textAt, traceAt);
  const parts = new Array<string>(strings);
  let from = 0;
  for (let index = 0; index < strings; index++) {
    const to = from + blob.readUInt32BE(lengthsAt + 4 * index);
    parts[index] = text.slice(from, to);
    from = to;
  }
  if (from !== textOctets) throw broken();
  const response = {
    status: blob.readUInt16BE(2),
    reason: parts[0]!,
    headers: parts.slice(1, 1 + headerStrings),
    body: blob.subarray(bodyAt),
    trailers: parts.slice(1 + headerStrings),
  };
  return !isTraced ? response : { ...response, executedIn: blob.toString("latin1", traceAt, bodyAt) };
}

export function encodeLanding(landing: Landing): Buffer {
  if (landing.kind === "response") return encodeResponse(landing.response);
  const { problem, executedIn } = landing;
  return Buffer.concat([Buffer.of(version, problemKind), Buffer.from(JSON.stringify({ ...problem, executedIn }))]);
}

export function decodeLanding(blob: Buffer): Landing {
  if (blob[1] !== problemKind) return { kind: "response", response: decodeResponse(blob) };
  expectKind(blob, problemKind);
  const stored: unknown = JSON.parse(blob.toString("utf8", 2));
  if (!isProblemNote(stored)) throw broken();
  const { executedIn, ...problem } = stored as ProblemNote & { readonly executedIn?: string };
  return executedIn === undefined ? { kind: "problem", problem } : { kind: "problem", problem, executedIn };
}

function expectKind(blob: Buffer, kind: number, newest = version): void {
  const [found = 0] = blob;
  if (found < version || found > newest)
    throw new Error(`a stored record has format ${blob[0]}, this program knows ${newest}`);
  if (blob[1] !== kind) throw broken();
}

function isProblemNote(value: unknown): value is ProblemNote {
  const note = value as Partial<ProblemNote> | null;
  return typeof note === "object" && typeof note?.code === "string" && typeof note.detail === "string";
}

function isLatin1(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0xff) return false;
  return true;
}

function broken(): Error {
  return new Error("a stored record is damaged");
}
