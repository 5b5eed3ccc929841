import { hasReadings, readingsOf, suffixReadings } from "./path-readings.js";
import {
  decodedOnce,
  dot,
  dropTrailingSlash,
  isNeutral,
  isWellEscaped,
  maxLevels,
  normalise,
  slash,
  withoutParameters,
} from "./path-text.js";

/**
 * How a path of a request target is read. A route is matched on the canonical path; what an upstream might read
 * differently is either refused here or handed back as a further reading, to be looked up as well.
 */

/** A path that may be matched. */
export interface ReadPath {
  readonly kind: "path";
  /**
   * Escapes of characters that mean nothing in a path decoded, all other octets escaped in upper case, `;parameters`
   * of each segment and one trailing slash dropped. Letter case is kept: routes fold it themselves.
   */
  readonly canonical: string;
  /** Why a protected route refuses the path: it holds `//`, `%2f` or `%5c`. */
  readonly doubtful: string | undefined;
  /** Canonical paths that an upstream may see instead (`path-readings.ts`). `undefined`: too many to look at. */
  readonly variants: () => readonly string[] | undefined;
}

export interface RefusedPath {
  readonly kind: "refused";
  readonly detail: string;
}

/** `raw` begins with a slash and ends before the question mark; one character for each octet. */
export function readPath(raw: string): ReadPath | RefusedPath {
  const form = formOf(raw);
  if (form !== "odd") {
    const canonical = dropTrailingSlash(raw);
    const variants = form === "plain" ? none : () => suffixReadings(canonical);
    return { kind: "path", canonical, doubtful: undefined, variants };
  }
  const defect = defectOf(raw);
  if (defect !== undefined) return refused(defect);
  const normal = normalise(raw);
  const isManifold = hasReadings.test(normal);
  if (isManifold && raw.length > maxManifoldLength) return refused("the path is too long for all its readings");
  const refusal = refusalOf(normal);
  if (refusal !== undefined) return refused(refusal);
  const literal = withoutParameters(normal);
  const canonical = dropTrailingSlash(literal);
  const variants = isManifold ? () => readingsOf(normal, canonical) : none;
  return { kind: "path", canonical, doubtful: doubtOf(normal, literal), variants };
}

/** The canonical form of a route's pattern, or of one segment of it, which may hold letters beyond ASCII. */
export function canonicalPattern(pattern: string): string {
  const octets = Buffer.from(pattern, "utf8").toString("latin1");
  return dropTrailingSlash(withoutParameters(isWellEscaped(octets) ? normalise(octets) : octets));
}

/**
 * Folds letter case, beyond ASCII too: a few letters there (U+017F, U+212A) fold into ASCII ones. The number of
 * segments stays the same.
 */
export function foldCase(canonical: string): string {
  const lower = canonical.toLowerCase();
  if (!lower.includes("%")) return lower;
  return lower.replace(/(?:%[89a-f][0-9a-f])+/g, (run) => {
    const text = decoded(run);
    return text === undefined ? run : text.toUpperCase().toLowerCase();
  });
}

/** Percent-decoded as UTF-8; `undefined` where that is not possible. */
export function decoded(text: string): string | undefined {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Looking into every reading of a longer path would cost milliseconds. */
const maxManifoldLength = 4096;

const none: () => readonly string[] = () => [];

function refused(detail: string): RefusedPath {
  return { kind: "refused", detail };
}

/**
 * In one pass, the common case: `plain`, nothing of the path can be read in two ways; `suffixed`, the last segment may
 * have a format suffix. A dot segment ends in a dot.
 */
function formOf(raw: string): "plain" | "suffixed" | "odd" {
  let previous = 0;
  let isSuffixed = false;
  for (let i = 0; i < raw.length; i++) {
    const code = raw.charCodeAt(i);
    if (code === slash) {
      if (previous === slash || previous === dot) return "odd";
      if (i < raw.length - 1) isSuffixed = false;
    } else if (isNeutral[code] !== true) return "odd";
    else if (code === dot) isSuffixed = true;
    previous = code;
  }
  if (previous === dot) return "odd";
  return isSuffixed ? "suffixed" : "plain";
}

function defectOf(raw: string): string | undefined {
  for (let i = 0; i < raw.length; i++) {
    const code = raw.charCodeAt(i);
    if (code <= 0x20 || code === 0x7f) return "the path holds a control character or a space";
    if (code === 0x23) return "the target holds a fragment";
    if (code === 0x5c) return "the path holds a backslash";
    if (code > 0xff) return "the path holds a character that is no octet";
  }
  return isWellEscaped(raw) ? undefined : "the path holds a malformed percent escape";
}

/** In any spelling, also before what some upstreams cut off: parameters, spaces, what follows an encoded `?` or `#`. */
const dotSegment = /(?:\/|%2F|%5C)(?:%20)*\.{1,2}(?:%20)*(?:\/|%2F|%5C|;|%3B|%3F|%23|%20|$)/;

/** UTF-8 longer than need be, which a lax decoder turns into a dot or a slash. */
const overlong = /%C[01]%[89AB]|%E0%[89]|%F0%8/;

/** Line ends split a request that is written out again decoded; parsers of URLs drop others wherever they stand. */
const control = /%(?:[01][0-9A-F]|7F)/;

/** Why a path is refused on every route, at whatever level of encoding. */
function refusalOf(normal: string): string | undefined {
  let level = normal;
  for (let i = 0; i <= maxLevels; i++) {
    if (control.test(level)) return "the path holds an encoded control character";
    if (overlong.test(level)) return "the path holds an overlong encoding";
    if (dotSegment.test(level)) return "the path holds a dot segment";
    const next = decodedOnce(level);
    if (next === level) return undefined;
    level = next;
  }
  return `the path is percent-encoded more than ${maxLevels} times over`;
}

function doubtOf(normal: string, literal: string): string | undefined {
  if (normal.includes("%2F")) return "the path holds an encoded slash";
  if (normal.includes("%5C")) return "the path holds an encoded backslash";
  return literal.includes("//") ? "the path holds an empty segment" : undefined;
}
