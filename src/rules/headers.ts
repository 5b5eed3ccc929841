/** Looking into header pairs as they were on the wire: names and values alternating, in any letter case. */
import type { HeaderPairs } from "../model.js";

/** Whether two field names are the same, in any letter case. No text is made for it: V8 makes lower case of most far away. */
export function isNamed(name: string, other: string): boolean {
  if (name.length !== other.length) return false;
  for (let i = 0; i < name.length; i++) {
    const [a, b] = [name.charCodeAt(i), other.charCodeAt(i)];
    if (a !== b && ((a ^ b) !== 0x20 || !isLetter(a | 0x20))) return false;
  }
  return true;
}

function isLetter(lower: number): boolean {
  return lower >= 0x61 && lower <= 0x7a;
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

/** The first value under this name. */
export function headerValue(pairs: HeaderPairs, name: string): string | undefined {
  for (let i = 0; i < pairs.length; i += 2) if (isNamed(pairs[i]!, name)) return pairs[i + 1];
  return undefined;
}

/** Every value under this name, in order. */
export function headerValues(pairs: HeaderPairs, name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i < pairs.length; i += 2) if (isNamed(pairs[i]!, name)) values.push(pairs[i + 1]!);
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

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
