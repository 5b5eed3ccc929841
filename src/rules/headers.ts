/** Looking into header pairs as they were on the wire: names and values alternating, in any letter case. */
import type { HeaderPairs } from "../model.js";

/** `lower` is a name in lower case. */
export function isNamed(name: string, lower: string): boolean {
  return name.length === lower.length && (name === lower || name.toLowerCase() === lower);
}

/**
 * A first look at a name, by its length and first letter: most fields are none of `names` (in lower case), and need no
 * second one.
 */
export function sieveOf(names: Iterable<string>): (name: string) => boolean {
  const table = new Uint8Array(32 * 32);
  const cell = (name: string) => ((name.length & 31) << 5) | (name.charCodeAt(0) & 31);
  for (const name of names) table[cell(name)] = 1;
  return (name) => table[cell(name)] === 1;
}

/** The first value under this name (in lower case). */
export function headerValue(pairs: HeaderPairs, lower: string): string | undefined {
  for (let i = 0; i < pairs.length; i += 2) if (isNamed(pairs[i]!, lower)) return pairs[i + 1];
  return undefined;
}

/** Every value under this name (in lower case), in order. */
export function headerValues(pairs: HeaderPairs, lower: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < pairs.length; i += 2) if (isNamed(pairs[i]!, lower)) values.push(pairs[i + 1]!);
  return values;
}

/** Without the spaces and tabs around it; `trim` would take octets that other parsers do not. */
export function trimSpace(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isSpace(value.charCodeAt(start))) start++;
  while (end > start && isSpace(value.charCodeAt(end - 1))) end--;
  return start === 0 && end === value.length ? value : value.slice(start, end);
}

/**
 * Adds the members of one comma-separated field value, in lower case and without the white space around them, to
 * `found`. No quoted strings: for fields that hold tokens only.
 */
export function addTokens(found: string[], value: string): void {
  for (const token of value.split(",")) {
    const trimmed = trimSpace(token);
    if (trimmed !== "") found.push(trimmed.toLowerCase());
  }
}

/** The field names that `Connection` lists, in lower case, in whatever number of lines. */
export function connectionNames(pairs: HeaderPairs): string[] {
  const names: string[] = [];
  for (const value of headerValues(pairs, "connection")) addTokens(names, value);
  return names;
}

/** An answer that may never end. */
export function isEventStream(pairs: HeaderPairs): boolean {
  const type = headerValue(pairs, "content-type");
  if (type === undefined) return false;
  const end = type.indexOf(";");
  return trimSpace(end < 0 ? type : type.slice(0, end)).toLowerCase() === "text/event-stream";
}

/**
 * Whether a method override header names this one: each makes some framework take a request for one of another
 * method, so a request that has any of them is unsafe whatever its method.
 */
export function isOverrideHeader(lower: string): boolean {
  return lower === "x-http-method-override" || lower === "x-http-method" || lower === "x-method-override";
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
