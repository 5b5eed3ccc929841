/**
 * Header fields of the plain form, as nearly every program writes them: `name: value` in one line, ended by CR LF, ASCII
 * without tabs. Whatever else RFC 9112 §5 allows or a lenient parser would take is not read here: `odd`, for a parser
 * that knows all of HTTP.
 */

/** Where the lines end, or why they cannot be read here. */
export type LinesRead = number | "odd";

/** More field lines, or a longer section, than this are left to the full parser and its limits. */
const maxFields = 200;
const maxSectionLength = 32 * 1024;

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const COLON = 0x3a;

const ascii = (accepted: RegExp): readonly boolean[] =>
  Array.from({ length: 256 }, (_, code) => accepted.test(String.fromCharCode(code)));

/** RFC 9110 §5.6.2. */
const isToken = ascii(/[!#$%&'*+\-.^_`|~0-9A-Za-z]/);
const isValue = ascii(/[\x20-\x7e]/);
const isTarget = ascii(/[\x21-\x7e]/);

/** What is read, and which of it may say something about the framing: lengths of names as a first sieve. */
export interface FieldSink {
  /** Names and values alternating, as received. */
  readonly pairs: string[];
  /** Where in `pairs` the names are whose length `sieve` has. */
  readonly marked: number[];
  readonly sieve: readonly boolean[];
}

export function sieveFor(names: readonly string[]): readonly boolean[] {
  const lengths = names.map((name) => name.length);
  return Array.from({ length: Math.max(...lengths) + 1 }, (_, length) => lengths.includes(length));
}

/**
 * Reads the lines from `from` to the empty one, and returns where the body begins. `sectionEnd` is where the first
 * CR LF CR LF stands, so that nothing here runs past the end of `text`. Lengths are counted, not asked for: the strings
 * that are made here are of many kinds inside, and V8 pays for each look at one.
 */
export function readFieldLines(text: string, from: number, sectionEnd: number, sink: FieldSink): LinesRead {
  const { pairs, marked, sieve } = sink;
  let fields = 0;
  if (sectionEnd - from > maxSectionLength) return "odd";
  let at = from;
  const end = sectionEnd + 2;
  while (at < end) {
    const nameAt = at;
    let code = text.charCodeAt(at);
    while (isToken[code]) code = text.charCodeAt(++at);
    if (code !== COLON || at === nameAt) return "odd";
    const nameLength = at - nameAt;
    const name = text.slice(nameAt, at);
    code = text.charCodeAt(++at);
    while (code === SPACE) code = text.charCodeAt(++at);
    const valueAt = at;
    while (isValue[code]) code = text.charCodeAt(++at);
    if (code !== CR || text.charCodeAt(at + 1) !== LF) return "odd";
    let valueEnd = at;
    while (valueEnd > valueAt && text.charCodeAt(valueEnd - 1) === SPACE) valueEnd--;
    if (sieve[nameLength]) marked.push(2 * fields);
    if (++fields > maxFields) return "odd";
    pairs.push(name, text.slice(valueAt, valueEnd));
    at += 2;
  }
  return sectionEnd + 4;
}

/** The end of a request target that begins at `from` and is followed by a space; -1 where it has anything but visible ASCII. */
export function targetEnd(text: string, from: number): number {
  let at = from;
  let code = text.charCodeAt(at);
  while (isTarget[code]) code = text.charCodeAt(++at);
  return code === SPACE ? at : -1;
}

/** The number of a `Content-Length`; `undefined` for anything but up to 15 digits. */
export function plainLength(value: string): number | undefined {
  if (value.length === 0 || value.length > 15) return undefined;
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    length = length * 10 + digit;
  }
  return length;
}
