/**
 * JSON as RFC 8259 has it, read from the bytes without a tree: `JSON.parse` would merge repeated members and round
 * numbers, and a tree of a megabyte takes longer than other requests may wait. Places are offsets; -1 is "not valid".
 */

/** Reference tokens of an RFC 6901 pointer, unescaped. */
export type Pointer = readonly string[];

/** Of a string its value, of a number, `true`, `false` and `null` the source text, of an object or an array nothing. */
export interface JsonValue {
  readonly kind: "string" | "number" | "word" | "list";
  readonly text: string | undefined;
}

/** Deeper nesting is not read: nobody means it, and reading is recursive. */
export const maxDepth = 500;

/** A body of which single values are wanted. Whether it is JSON is found out when the first one is. */
export class JsonBody {
  #isValid: boolean | undefined;

  constructor(private readonly bytes: Uint8Array) {}

  /** What a pointer leads to; `repeated` when a member on the way stands there twice, `undefined` when there is nothing. */
  valueAt(pointer: Pointer): JsonValue | "repeated" | undefined {
    const { bytes } = this;
    this.#isValid ??= isJson(bytes);
    if (!this.#isValid) return undefined;
    let at = skipSpace(bytes, 0);
    for (const token of pointer) {
      const found = bytes[at] === OPEN_OBJECT ? memberAt(bytes, at, token) : itemAt(bytes, at, token);
      if (found === "repeated") return found;
      if (found < 0) return undefined;
      at = found;
    }
    return valueFrom(bytes, at);
  }
}

/** Valid as a whole: UTF-8 without a byte order mark, one value, not too deep. */
export function isJson(bytes: Uint8Array): boolean {
  const end = endOfValue(bytes, skipSpace(bytes, 0), 0);
  return end >= 0 && skipSpace(bytes, end) === bytes.length && isUtf8(bytes);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function isUtf8(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

export const QUOTE = 0x22;
export const COMMA = 0x2c;
export const JSON_COLON = 0x3a;
export const OPEN_ARRAY = 0x5b;
export const BACKSLASH = 0x5c;
export const CLOSE_ARRAY = 0x5d;
export const OPEN_OBJECT = 0x7b;
export const CLOSE_OBJECT = 0x7d;

export function skipSpace(bytes: Uint8Array, at: number): number {
  for (let i = at; ; i++) {
    const code = bytes[i];
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return i;
  }
}

/** Behind the value that begins at `at`. */
function endOfValue(bytes: Uint8Array, at: number, depth: number): number {
  if (depth > maxDepth) return -1;
  const code = bytes[at];
  if (code === QUOTE) return endOfString(bytes, at);
  if (code === OPEN_ARRAY) return endOfList(bytes, at, depth, CLOSE_ARRAY);
  return code === OPEN_OBJECT ? endOfList(bytes, at, depth, CLOSE_OBJECT) : endOfPlain(bytes, at);
}

/** Of an array, or of an object: that has a name and a colon before each value. */
function endOfList(bytes: Uint8Array, start: number, depth: number, close: number): number {
  let at = skipSpace(bytes, start + 1);
  if (bytes[at] === close) return at + 1;
  for (;;) {
    if (close === CLOSE_OBJECT) at = valueOfMember(bytes, at);
    at = at < 0 ? -1 : endOfValue(bytes, at, depth + 1);
    if (at < 0) return -1;
    at = skipSpace(bytes, at);
    const code = bytes[at];
    if (code === close) return at + 1;
    if (code !== COMMA) return -1;
    at = skipSpace(bytes, at + 1);
  }
}

/** Where the value of the member begins whose name begins at `at`. */
function valueOfMember(bytes: Uint8Array, at: number): number {
  const end = bytes[at] === QUOTE ? endOfString(bytes, at) : -1;
  const colon = end < 0 ? -1 : skipSpace(bytes, end);
  return colon < 0 || bytes[colon] !== JSON_COLON ? -1 : skipSpace(bytes, colon + 1);
}

export function endOfString(bytes: Uint8Array, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    const code = bytes[at]!;
    if (code === QUOTE) return at + 1;
    if (code < 0x20) return -1;
    if (code !== BACKSLASH) continue;
    at++;
    const escaped = bytes[at];
    if (escaped === LETTER_U) {
      if (unitAt(bytes, at + 1) < 0) return -1;
      at += 4;
    } else if (escaped === undefined || !isEscape[escaped]) return -1;
  }
  return -1;
}

const LETTER_U = 0x75;
const isEscape: readonly boolean[] = Array.from({ length: 256 }, (_, code) =>
  '"\\/bfnrt'.includes(String.fromCharCode(code)),
);

/** The UTF-16 unit that four hexadecimal digits name. */
export function unitAt(bytes: Uint8Array, at: number): number {
  let unit = 0;
  for (let i = at; i < at + 4; i++) {
    const code = bytes[i] ?? 0;
    const letter = code | 0x20;
    if (isDigit(code)) unit = unit * 16 + code - 0x30;
    else if (letter >= 0x61 && letter <= 0x66) unit = unit * 16 + letter - 0x57;
    else return -1;
  }
  return unit;
}

/** Behind a number, `true`, `false` or `null`. */
export function endOfPlain(bytes: Uint8Array, start: number): number {
  const first = bytes[start];
  if (first === 0x74) return endOfWord(bytes, start, "true");
  if (first === 0x66) return endOfWord(bytes, start, "false");
  if (first === 0x6e) return endOfWord(bytes, start, "null");
  let at = first === 0x2d ? start + 1 : start;
  at = bytes[at] === 0x30 ? at + 1 : endOfDigits(bytes, at);
  if (at >= 0 && bytes[at] === 0x2e) at = endOfDigits(bytes, at + 1);
  if (at < 0 || (bytes[at]! | 0x20) !== 0x65) return at;
  const sign = bytes[at + 1];
  return endOfDigits(bytes, sign === 0x2b || sign === 0x2d ? at + 2 : at + 1);
}

function endOfWord(bytes: Uint8Array, start: number, word: string): number {
  for (let i = 1; i < word.length; i++) if (bytes[start + i] !== word.charCodeAt(i)) return -1;
  return start + word.length;
}

/** At least one. */
function endOfDigits(bytes: Uint8Array, start: number): number {
  let at = start;
  while (isDigit(bytes[at])) at++;
  return at === start ? -1 : at;
}

function isDigit(code: number | undefined): boolean {
  return code !== undefined && code >= 0x30 && code <= 0x39;
}

/** In an object of a valid document: where the value of this member begins. */
function memberAt(bytes: Uint8Array, start: number, token: string): number | "repeated" {
  let found = -1;
  let at = skipSpace(bytes, start + 1);
  while (bytes[at] === QUOTE) {
    const value = valueOfMember(bytes, at);
    if (stringAt(bytes, at) === token) {
      if (found >= 0) return "repeated";
      found = value;
    }
    at = nextIn(bytes, value);
  }
  return found;
}

/** In an array of a valid document: where this item begins. */
function itemAt(bytes: Uint8Array, start: number, token: string): number {
  if (bytes[start] !== OPEN_ARRAY || !/^(?:0|[1-9][0-9]*)$/.test(token)) return -1;
  let at = skipSpace(bytes, start + 1);
  for (let left = Number(token); left > 0 && bytes[at] !== CLOSE_ARRAY; left--) at = nextIn(bytes, at);
  return bytes[at] === CLOSE_ARRAY ? -1 : at;
}

/** Behind the value at `at` and its comma; the closing bracket, behind the last. */
function nextIn(bytes: Uint8Array, at: number): number {
  const end = skipSpace(bytes, endOfValue(bytes, at, 0));
  return bytes[end] === COMMA ? skipSpace(bytes, end + 1) : end;
}

function valueFrom(bytes: Uint8Array, at: number): JsonValue {
  const code = bytes[at];
  if (code === QUOTE) return { kind: "string", text: stringAt(bytes, at) };
  if (code === OPEN_OBJECT || code === OPEN_ARRAY) return { kind: "list", text: undefined };
  const text = decoder.decode(bytes.subarray(at, endOfPlain(bytes, at)));
  return { kind: code === 0x2d || isDigit(code) ? "number" : "word", text };
}

/** Of strings and numbers alone: what a key, a scope or a probe is made of. */
export function scalarText(value: JsonValue | "repeated" | undefined): string | undefined {
  if (value === undefined || value === "repeated" || value.kind === "word") return undefined;
  return value.text;
}

export function stringAt(bytes: Uint8Array, at: number): string {
  const text = decoder.decode(bytes.subarray(at, endOfString(bytes, at)));
  return text.includes("\\") ? JSON.parse(text) : text.slice(1, -1);
}
