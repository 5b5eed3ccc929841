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
  /** Why the path is refused unless its route forwards ambiguous paths: it holds `//`, `%2f` or `%5c`. */
  readonly doubtful: string | undefined;
  /** Canonical paths that a more liberal upstream may see instead; none for a path without escapes or odd endings. */
  readonly variants: () => readonly string[];
}

export interface RefusedPath {
  readonly kind: "refused";
  readonly detail: string;
}

/** `raw` begins with a slash and ends before the question mark; one character for each octet. */
export function readPath(raw: string): ReadPath | RefusedPath {
  if (isPlain(raw)) return { kind: "path", canonical: dropTrailingSlash(raw), doubtful: undefined, variants: none };
  const defect = defectOf(raw);
  if (defect !== undefined) return refused(defect);
  const levels = levelsOf(normalise(raw));
  const refusal = refusalOf(levels);
  if (refusal !== undefined) return refused(refusal);
  const normal = levels[0]!;
  const literal = withoutParameters(normal);
  const canonical = dropTrailingSlash(literal);
  const doubtful = doubtOf(normal, literal);
  if (!odd.test(normal)) return { kind: "path", canonical, doubtful, variants: none };
  if (raw.length > maxOddLength) return refused("the path is too long for all the ways in which it can be read");
  return { kind: "path", canonical, doubtful, variants: () => variantsOf(levels, canonical) };
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

/** A fourth level of escapes is not looked into. */
const maxLevels = 3;

/** Looking into every reading of a longer path would cost milliseconds. */
const maxOddLength = 4096;

const none: () => readonly string[] = () => [];

const SLASH = 0x2f;
const DOT = 0x2e;

/** Characters that stand for themselves whether escaped or not: unreserved ones, and delimiters without a meaning here. */
const isNeutral: readonly boolean[] = Array.from({ length: 256 }, (_, code) =>
  /[A-Za-z0-9\-._~!$&'()*+,=:@]/.test(String.fromCharCode(code)),
);

const spelling: readonly string[] = isNeutral.map((neutral, code) =>
  neutral ? String.fromCharCode(code) : `%${code.toString(16).toUpperCase().padStart(2, "0")}`,
);

function refused(detail: string): RefusedPath {
  return { kind: "refused", detail };
}

/** Whether nothing of the path can be read in two ways (a dot segment ends in a dot): the common case, in one pass. */
function isPlain(raw: string): boolean {
  let previous = 0;
  for (let i = 0; i < raw.length; i++) {
    const code = raw.charCodeAt(i);
    if (code === SLASH) {
      if (previous === SLASH || previous === DOT) return false;
    } else if (isNeutral[code] !== true) return false;
    previous = code;
  }
  return previous !== DOT;
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

function isWellEscaped(text: string): boolean {
  return !/%(?![0-9A-Fa-f]{2})/.test(text);
}

/** One spelling for each octet. Every `%` of `text` begins an escape. */
function normalise(text: string): string {
  return text.replace(/%..|[^A-Za-z0-9\-._~!$&'()*+,=:@/;]/gs, (found) => {
    const code = found.length === 1 ? found.charCodeAt(0) : Number.parseInt(found.slice(1), 16);
    // A raw slash divides segments and a raw semicolon begins parameters; escaped, they may or may not.
    return spelling[code]!;
  });
}

/** The path as somebody sees it who decodes once, twice, and so on, until no escape hides in an escape. */
function levelsOf(normal: string): string[] {
  const levels = [normal];
  for (let last = normal; levels.length <= maxLevels && /%25[0-9A-F]{2}/i.test(last); ) {
    last = normalise(last.replace(/%25(?=[0-9A-F]{2})/gi, "%"));
    levels.push(last);
  }
  return levels;
}

/** In any spelling: also before parameters or spaces, which some upstreams cut off. */
const dotSegment = /(?:\/|%2F|%5C)\.{1,2}(?:%20)*(?:\/|%2F|%5C|;|%3B|$)/;

/** UTF-8 longer than need be, which a lax decoder turns into a dot or a slash. */
const overlong = /%C[01]%[89AB]|%E0%[89]|%F0%8/;

/** Whether there is more than one reading. */
const odd = /%2F|%5C|\/\/|;|%3B|%25[0-9A-F]{2}|%[01]|%7F|(?:\.|%20)(?:\/|$)/i;

/** Why a path is refused on every route. */
function refusalOf(levels: readonly string[]): string | undefined {
  for (const level of levels) {
    if (level.includes("%00")) return "the path holds an encoded NUL";
    if (overlong.test(level)) return "the path holds an overlong encoding";
    if (dotSegment.test(withoutControls(level))) return "the path holds a dot segment";
  }
  if (levels.length > maxLevels) return `the path is percent-encoded more than ${maxLevels} times over`;
  // Slashes of two levels divide the path in too many ways to follow.
  if (levels.slice(0, -1).some((level) => /%2F|%5C/.test(level))) {
    return "the path holds an encoded slash beside what is encoded twice";
  }
  return undefined;
}

function doubtOf(normal: string, literal: string): string | undefined {
  if (normal.includes("%2F")) return "the path holds an encoded slash";
  if (normal.includes("%5C")) return "the path holds an encoded backslash";
  return literal.includes("//") ? "the path holds an empty segment" : undefined;
}

/** Parsers of URLs drop some of these wherever they stand. */
function withoutControls(normal: string): string {
  return normal.replace(/%(?:[01][0-9A-F]|7F)/g, "");
}

function withoutParameters(normal: string): string {
  return normal.includes(";") ? normal.replace(/;[^/]*/g, "") : normal;
}

function dropTrailingSlash(path: string): string {
  return path.length > 1 && path.charCodeAt(path.length - 1) === SLASH ? path.slice(0, -1) : path;
}

/**
 * Every combination of: decoded again or not, `%2f` and `%5c` divide segments or not, parameters and whatever file systems,
 * anchored patterns and parsers of URLs overlook are taken off before that, after it or not at all, empty segments are
 * merged or not.
 */
function variantsOf(levels: readonly string[], canonical: string): readonly string[] {
  const bare = (path: string) => [withoutParameters(path), withoutEndings(path)];
  let found: ReadonlySet<string> = new Set(levels);
  found = each(found, (path) => [path, ...bare(path)]);
  found = each(found, (path) => [path, path.replaceAll("%2F", "/")]);
  found = each(found, (path) => [path, path.replaceAll("%5C", "/")]);
  found = each(found, bare);
  found = each(found, (path) => [path, path.replace(/\/{2,}/g, "/")]);
  found = each(found, (path) => [dropTrailingSlash(path)]);
  return [...found].filter((path) => path !== canonical);
}

function each(paths: ReadonlySet<string>, readings: (path: string) => readonly string[]): ReadonlySet<string> {
  const all = new Set<string>();
  for (const path of paths) for (const reading of readings(path)) all.add(reading);
  return all;
}

/** Cut at an encoded semicolon too, without control characters, and without the dots and spaces that end a segment. */
function withoutEndings(normal: string): string {
  const segments = withoutControls(normal).split("/");
  for (let i = 0; i < segments.length; i++) {
    let segment = segments[i]!;
    const cut = segment.search(/;|%3B/);
    if (cut >= 0) segment = segment.slice(0, cut);
    let end = segment.length;
    for (let before = -1; before !== end; ) {
      before = end;
      if (segment.charCodeAt(end - 1) === DOT) end--;
      else if (segment.endsWith("%20", end)) end -= 3;
    }
    segments[i] = segment.slice(0, end);
  }
  return segments.join("/");
}
