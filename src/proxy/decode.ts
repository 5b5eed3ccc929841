import { brotliDecompress, gunzip, type InputType, inflate, inflateRaw, type ZlibOptions } from "node:zlib";
import type { HeaderPairs, ProblemNote } from "../model.js";
import { addTokens, headerValues } from "../rules/headers.js";

export type Decoded =
  | { readonly kind: "decoded"; readonly body: Buffer }
  /** Beyond the limit: nothing of it is kept. */
  | { readonly kind: "tooLarge" }
  /** A coding that is not known here, or a body that is not in it. */
  | { readonly kind: "undecodable" };

/** How much larger than `requestBody` a body may be once it is decoded. */
export const maxInflation = 10;

export function tooLargeDecoded(limitBytes: number): ProblemNote {
  const detail = `The body of a protected request is limited to ${limitBytes} bytes once its Content-Encoding is decoded.`;
  return { code: "body-too-large", detail };
}

/** A bomb is unpacked once for each coding; clients use one. */
const maxCodings = 3;

/**
 * The body without its content codings (RFC 9110 §8.4.1), for reading alone: what is forwarded stays as it came. Unpacked
 * off the event loop, and only a few at once, so that what is held while one is at work stays bounded.
 */
export function decodeBody(rawHeaders: HeaderPairs, body: Buffer, limitBytes: number): Promise<Decoded> {
  const codings: string[] = [];
  for (const value of headerValues(rawHeaders, "content-encoding")) addTokens(codings, value);
  const named = codings.filter((coding) => coding !== "identity").reverse();
  if (named.length === 0 || body.length === 0) return Promise.resolve({ kind: "decoded", body });
  if (named.length > maxCodings || named.some((coding) => !unpackers.has(coding))) return Promise.resolve(undecodable);
  return turn(() => unpackAll(named, body, limitBytes));
}

const undecodable: Decoded = { kind: "undecodable" };

async function unpackAll(codings: readonly string[], body: Buffer, limitBytes: number): Promise<Decoded> {
  let decoded: Decoded = { kind: "decoded", body };
  for (const coding of codings) {
    if (decoded.kind === "decoded") decoded = await unpack(coding, decoded.body, limitBytes);
  }
  return decoded;
}

type Unpacker = (body: InputType, options: ZlibOptions, done: (error: Error | null, result: Buffer) => void) => void;

const unpackers: ReadonlyMap<string, (body: Buffer) => Unpacker> = new Map<string, (body: Buffer) => Unpacker>([
  ["gzip", () => gunzip],
  ["x-gzip", () => gunzip],
  // With the header of zlib as RFC 1950 has it, or, as some send it, without.
  ["deflate", (body: Buffer) => ((body[0]! & 0x0f) === 8 ? inflate : inflateRaw)],
  ["br", () => brotliDecompress],
]);

function unpack(coding: string, body: Buffer, limitBytes: number): Promise<Decoded> {
  return new Promise((resolve) => {
    // With `info` the result says how much was read: what stands behind the end is no part of a body that is in this coding.
    const options = { maxOutputLength: limitBytes, info: true };
    unpackers.get(coding)!(body)(body, options, (error, result) => {
      if ((error as NodeJS.ErrnoException | null)?.code === "ERR_BUFFER_TOO_LARGE")
        return resolve({ kind: "tooLarge" });
      if (error !== null) return resolve(undecodable);
      const { buffer, engine } = result as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
      resolve(engine.bytesWritten === body.length ? { kind: "decoded", body: buffer } : undecodable);
    });
  });
}

const maxAtWork = 4;
let atWork = 0;
const waiting: (() => void)[] = [];

async function turn<T>(work: () => Promise<T>): Promise<T> {
  if (atWork >= maxAtWork) await new Promise<void>((resolve) => waiting.push(resolve));
  else atWork++;
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next === undefined) atWork--;
    else next();
  }
}
