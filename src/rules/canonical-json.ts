import {
  BACKSLASH,
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  COMMA,
  endOfPlain,
  endOfString,
  isUtf8,
  JSON_COLON,
  maxDepth,
  OPEN_ARRAY,
  OPEN_OBJECT,
  type Pointer,
  QUOTE,
  skipSpace,
  stringAt,
  unitAt,
} from "./json.js";
import { memberOrder } from "./json-members.js";

/**
 * The same bytes for all documents that differ only in white space, the order of members, the escapes in strings, and
 * what the `ignored` pointers lead to: that is left out. Numbers keep their source text. `undefined` for a body that is
 * no JSON (`isJson`), or in which an object names a member twice.
 */
export function canonicalJson(body: Uint8Array, ignored: readonly Pointer[]): Buffer | undefined {
  if (!isUtf8(body)) return undefined;
  return new CanonicalWriter(body).write(ignored);
}

/** One pass over the document. What it writes is never longer than what it has read, so one buffer is enough. */
class CanonicalWriter {
  readonly #out: Buffer;
  #length = 0;
  #at = 0;
  /** What is being sorted. */
  #scratch: Buffer | undefined;

  constructor(private readonly source: Uint8Array) {
    this.#out = Buffer.allocUnsafe(source.length);
  }

  write(ignored: readonly Pointer[]): Buffer | undefined {
    this.#skip(0);
    if (!this.#value(0, ignored)) return undefined;
    this.#skip(0);
    return this.#at === this.source.length ? this.#out.subarray(0, this.#length) : undefined;
  }

  /** Past some bytes, and the white space behind them. */
  #skip(bytes: number): void {
    this.#at = skipSpace(this.source, this.#at + bytes);
  }

  /** `false`: not valid, nested too deeply, or a member repeats. */
  #value(depth: number, ignored: readonly Pointer[]): boolean {
    if (depth > maxDepth) return false;
    switch (this.source[this.#at]) {
      case QUOTE:
        return this.#string();
      case OPEN_ARRAY:
        return this.#array(depth, ignored);
      case OPEN_OBJECT:
        return this.#object(depth, ignored);
      default: {
        const end = endOfPlain(this.source, this.#at);
        while (this.#at < end) this.#out[this.#length++] = this.source[this.#at++]!;
        return end >= 0;
      }
    }
  }

  #array(depth: number, ignored: readonly Pointer[]): boolean {
    this.#out[this.#length++] = OPEN_ARRAY;
    this.#skip(1);
    const first = this.#length;
    for (let index = 0; this.source[this.#at] !== CLOSE_ARRAY || index > 0; index++) {
      const begin = this.#length;
      const below = ignored.length === 0 ? ignored : pointersBelow(ignored, String(index));
      if (!this.#value(depth + 1, below ?? noPointers)) return false;
      if (below === undefined) this.#length = begin;
      else this.#out[this.#length++] = COMMA;
      this.#skip(0);
      if (this.source[this.#at] === CLOSE_ARRAY) break;
      if (this.source[this.#at] !== COMMA) return false;
      this.#skip(1);
    }
    this.#at++;
    this.#close(first, CLOSE_ARRAY);
    return true;
  }

  #object(depth: number, ignored: readonly Pointer[]): boolean {
    this.#out[this.#length++] = OPEN_OBJECT;
    this.#skip(1);
    const first = this.#length;
    /** Where each member begins, and where its name ends, by turns. */
    const members: number[] = [];
    const left = ignored.length === 0 ? undefined : new Set<string>();
    for (let isFirst = true; this.source[this.#at] !== CLOSE_OBJECT || !isFirst; isFirst = false) {
      if (!this.#member(depth, ignored, members, left)) return false;
      this.#skip(0);
      if (this.source[this.#at] === CLOSE_OBJECT) break;
      if (this.source[this.#at] !== COMMA) return false;
      this.#skip(1);
    }
    this.#at++;
    if (members.length > 2 && !this.#sort(members)) return false;
    this.#close(first, CLOSE_OBJECT);
    return true;
  }

  /** `left`: the names that were left out so far; they may not repeat either. */
  #member(depth: number, ignored: readonly Pointer[], members: number[], left: Set<string> | undefined): boolean {
    const begin = this.#length;
    if (this.source[this.#at] !== QUOTE) return false;
    const nameAt = this.#at;
    if (!this.#string()) return false;
    const nameEnd = this.#length;
    this.#skip(0);
    if (this.source[this.#at] !== JSON_COLON) return false;
    this.#out[this.#length++] = JSON_COLON;
    this.#skip(1);
    const name = left === undefined ? "" : stringAt(this.source, nameAt);
    const below = left === undefined ? ignored : pointersBelow(ignored, name);
    if (!this.#value(depth + 1, below ?? noPointers)) return false;
    if (below !== undefined) {
      this.#out[this.#length++] = COMMA;
      members.push(begin, nameEnd);
      return true;
    }
    this.#length = begin;
    if (left!.has(name)) return false;
    left!.add(name);
    return true;
  }

  /** In the place of the last comma; behind the opening bracket where nothing is between. */
  #close(first: number, bracket: number): void {
    if (this.#length > first) this.#length--;
    this.#out[this.#length++] = bracket;
  }

  /** Puts the members in the order of their names. `false`: two have the same. */
  #sort(members: readonly number[]): boolean {
    const out = this.#out;
    const order = memberOrder(out, members);
    if (order === "repeated") return false;
    if (order === "sorted") return true;
    const begin = members[0]!;
    this.#scratch ??= Buffer.allocUnsafe(this.source.length);
    out.copy(this.#scratch, 0, begin, this.#length);
    let to = begin;
    for (const member of order) {
      const end = members[member + 2] ?? this.#length;
      to += this.#scratch.copy(out, to, members[member]! - begin, end - begin);
    }
    return true;
  }

  #string(): boolean {
    const { source } = this;
    const end = endOfString(source, this.#at);
    if (end < 0) return false;
    while (this.#at < end) {
      const code = source[this.#at++]!;
      if (code === BACKSLASH) this.#escape();
      else this.#out[this.#length++] = code;
    }
    return true;
  }

  /** Behind a backslash. Every character gets one spelling: raw, unless JSON asks for an escape or it is a lone surrogate. */
  #escape(): void {
    const code = this.source[this.#at++]!;
    if (code === 0x2f) return this.#push(code);
    if (code !== 0x75) {
      this.#push(BACKSLASH);
      return this.#push(code);
    }
    const unit = unitAt(this.source, this.#at);
    this.#at += 4;
    if (unit < 0x80) return this.#ascii(unit);
    const low = unit >= 0xd800 && unit < 0xdc00 ? this.#lowSurrogate() : -1;
    if (low >= 0) return this.#utf8(0x10000 + (unit - 0xd800) * 0x400 + low - 0xdc00);
    if (unit < 0xd800 || unit > 0xdfff) return this.#utf8(unit);
    this.#length += this.#out.write(`\\u${unit.toString(16)}`, this.#length, "latin1");
  }

  /** Of the escape that follows, if there is one: it is taken. */
  #lowSurrogate(): number {
    const isEscape = this.source[this.#at] === BACKSLASH && this.source[this.#at + 1] === 0x75;
    const unit = isEscape ? unitAt(this.source, this.#at + 2) : -1;
    if (unit < 0xdc00 || unit > 0xdfff) return -1;
    this.#at += 6;
    return unit;
  }

  #ascii(code: number): void {
    if (code >= 0x20 && code !== QUOTE && code !== BACKSLASH) return this.#push(code);
    const escaped = JSON.stringify(String.fromCharCode(code)).slice(1, -1);
    for (let i = 0; i < escaped.length; i++) this.#push(escaped.charCodeAt(i));
  }

  #utf8(point: number): void {
    if (point < 0x800) this.#push(0xc0 | (point >> 6));
    else {
      if (point < 0x10000) this.#push(0xe0 | (point >> 12));
      else {
        this.#push(0xf0 | (point >> 18));
        this.#push(0x80 | ((point >> 12) & 0x3f));
      }
      this.#push(0x80 | ((point >> 6) & 0x3f));
    }
    this.#push(0x80 | (point & 0x3f));
  }

  #push(byte: number): void {
    this.#out[this.#length++] = byte;
  }
}

const noPointers: readonly Pointer[] = [];

/** What the pointers say about the value behind this name or index; `undefined`: one ends here, it is left out. */
function pointersBelow(ignored: readonly Pointer[], token: string): readonly Pointer[] | undefined {
  const below: Pointer[] = [];
  for (const pointer of ignored) {
    if (pointer[0] !== token) continue;
    if (pointer.length === 1) return undefined;
    below.push(pointer.slice(1));
  }
  return below;
}
