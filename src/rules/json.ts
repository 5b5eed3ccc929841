/**
 * JSON as RFC 8259 has it, kept the way it was written: numbers are their source text, repeated members are seen.
 * `JSON.parse` would merge the members and round the numbers; here it only decides what is valid, and unescapes strings.
 */

export type Json =
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "number"; readonly text: string }
  | { readonly kind: "word"; readonly text: "true" | "false" | "null" }
  | { readonly kind: "array"; readonly items: readonly Json[] }
  /** As written: in order, with repeats. */
  | { readonly kind: "object"; readonly members: readonly Member[] };

type Member = readonly [name: string, value: Json];

export interface JsonDocument {
  readonly root: Json;
  /** Whether an object anywhere names a member twice, after unescaping. */
  readonly hasRepeats: boolean;
}

/** Reference tokens of an RFC 6901 pointer, unescaped. */
export type Pointer = readonly string[];

/** Deeper nesting is not read: nobody means it, and reading is recursive. */
export const maxDepth = 500;

/** `undefined` when the octets are no UTF-8, begin with a byte order mark, are no JSON or too deep. */
export function parseJson(body: Uint8Array): JsonDocument | undefined {
  try {
    const text = decoder.decode(body);
    JSON.parse(text);
    const cursor = { text, at: 0, hasRepeats: false };
    return { root: readValue(cursor, 0), hasRepeats: cursor.hasRepeats };
  } catch {
    return undefined;
  }
}

/** Parses when it is first asked, and only once. */
export function jsonOnce(body: Uint8Array): () => JsonDocument | undefined {
  let document: JsonDocument | undefined;
  let isParsed = false;
  return () => {
    if (!isParsed) document = parseJson(body);
    isParsed = true;
    return document;
  };
}

/** What a pointer leads to; `repeated` when a member on the way stands there twice, `undefined` when there is nothing. */
export function valueAt(root: Json, pointer: Pointer): Json | "repeated" | undefined {
  let value: Json | undefined = root;
  for (const token of pointer) {
    if (value?.kind === "object") {
      const named: Member[] = value.members.filter(([name]) => name === token);
      if (named.length > 1) return "repeated";
      value = named[0]?.[1];
    } else if (value?.kind === "array") {
      value = isIndex(token) ? value.items[Number(token)] : undefined;
    } else return undefined;
  }
  return value;
}

/**
 * One text for all documents that differ only in white space, the order of members, the escapes in strings, and what the
 * `ignored` pointers lead to: that is left out. Members are expected not to repeat.
 */
export function canonicalJson(value: Json, ignored: readonly Pointer[]): string {
  switch (value.kind) {
    case "string":
      return quoted(value.value);
    case "number":
    case "word":
      return value.text;
    case "array": {
      const items: string[] = [];
      for (const [index, item] of value.items.entries()) addCanonical(items, "", String(index), item, ignored);
      return `[${items.join(",")}]`;
    }
    case "object": {
      const members: string[] = [];
      const sorted = [...value.members].sort(([a], [b]) => (a < b ? -1 : 1));
      for (const [name, member] of sorted) addCanonical(members, `${quoted(name)}:`, name, member, ignored);
      return `{${members.join(",")}}`;
    }
  }
}

function addCanonical(found: string[], before: string, token: string, value: Json, ignored: readonly Pointer[]): void {
  if (ignored.length === 0) {
    found.push(before + canonicalJson(value, ignored));
    return;
  }
  const below: Pointer[] = [];
  for (const pointer of ignored) {
    if (pointer[0] !== token) continue;
    if (pointer.length === 1) return;
    below.push(pointer.slice(1));
  }
  found.push(before + canonicalJson(value, below));
}

/** As JSON has it; a lone surrogate comes out as its escape. */
function quoted(text: string): string {
  return mayNeedEscape.test(text) ? JSON.stringify(text) : `"${text}"`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON escapes.
const mayNeedEscape = /["\\\x00-\x1f\ud800-\udfff]/;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function isIndex(token: string): boolean {
  return /^(?:0|[1-9][0-9]*)$/.test(token);
}

/** Over a text that is known to be valid. */
interface Cursor {
  readonly text: string;
  at: number;
  hasRepeats: boolean;
}

function readValue(cursor: Cursor, depth: number): Json {
  if (depth > maxDepth) throw new RangeError("nested too deeply");
  switch (nextCharacter(cursor)) {
    case "{":
      return readObject(cursor, depth);
    case "[":
      return readArray(cursor, depth);
    case '"':
      return { kind: "string", value: readString(cursor) };
    default:
      return readPlain(cursor);
  }
}

function readObject(cursor: Cursor, depth: number): Json {
  const members: Member[] = [];
  cursor.at++;
  while (nextCharacter(cursor) !== "}") {
    const name = readString(cursor);
    nextCharacter(cursor);
    cursor.at++;
    members.push([name, readValue(cursor, depth + 1)]);
    if (nextCharacter(cursor) === ",") cursor.at++;
  }
  cursor.at++;
  cursor.hasRepeats ||= hasRepeats(members);
  return { kind: "object", members };
}

function hasRepeats(members: readonly Member[]): boolean {
  return members.length > 1 && new Set(members.map(([name]) => name)).size < members.length;
}

function readArray(cursor: Cursor, depth: number): Json {
  const items: Json[] = [];
  cursor.at++;
  while (nextCharacter(cursor) !== "]") {
    items.push(readValue(cursor, depth + 1));
    if (nextCharacter(cursor) === ",") cursor.at++;
  }
  cursor.at++;
  return { kind: "array", items };
}

function readString(cursor: Cursor): string {
  const { text, at } = cursor;
  let end = text.indexOf('"', at + 1);
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
  cursor.at = end + 1;
  const inner = text.slice(at + 1, end);
  return inner.includes("\\") ? JSON.parse(text.slice(at, end + 1)) : inner;
}

/** Whether an odd number of backslashes stands before this place. */
function isEscaped(text: string, at: number): boolean {
  let before = at;
  while (text.charCodeAt(before - 1) === 0x5c) before--;
  return (at - before) % 2 === 1;
}

function readPlain(cursor: Cursor): Json {
  const { text } = cursor;
  const start = cursor.at;
  let end = start;
  while (end < text.length && !isDelimiter(text.charCodeAt(end))) end++;
  cursor.at = end;
  const plain = text.slice(start, end);
  if (plain === "true" || plain === "false" || plain === "null") return { kind: "word", text: plain };
  return { kind: "number", text: plain };
}

function nextCharacter(cursor: Cursor): string {
  while (isSpace(cursor.text.charCodeAt(cursor.at))) cursor.at++;
  return cursor.text.charAt(cursor.at);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

/** A comma, a closing bracket or white space. */
function isDelimiter(code: number): boolean {
  return code === 0x2c || code === 0x7d || code === 0x5d || isSpace(code);
}
