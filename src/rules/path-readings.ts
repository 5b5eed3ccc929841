/**
 * How else an upstream may read a path. Frameworks and servers differ in how often they decode, in what divides segments,
 * in where they cut, and in what they ignore at the ends. Each function here is one such habit.
 */
import { decodedOnce, dot, dropTrailingSlash, maxLevels, withoutParameters } from "./path-text.js";

/** Whether a normalised path has more than one reading. */
export const hasReadings = /%2F|%5C|\/\/|;|%3B|%3F|%23|%20|%25[0-9A-F]{2}|\.(?:\/|$)|\.[^/]*\/?$/i;

/**
 * Every combination of: decoded again or not; `%2f` and `%5c` divide segments or not; cut at `%3f`, `%23`, `%20` or not;
 * parameters, dots and spaces at the ends of segments ignored or not; empty segments merged or not; the last segment with
 * a format suffix or without. Canonical paths other than `canonical`; `undefined` where there are too many to look at.
 */
export function readingsOf(normal: string, canonical: string): readonly string[] | undefined {
  let level: ReadonlySet<string> | undefined = new Set([normal]);
  let found = level;
  for (let i = 0; i <= maxLevels; i++) {
    level = each(level, (path) => [path, withoutParameters(path), withoutEndings(path)]);
    level = each(level, (path) => [path, path.replaceAll("%2F", "/")]);
    level = each(level, (path) => [path, path.replaceAll("%5C", "/")]);
    if (level === undefined) return undefined;
    found = new Set([...found, ...level]);
    level = new Set([...level].map(decodedOnce));
  }
  let read: ReadonlySet<string> | undefined = found;
  for (const mark of ["%3F", "%23", "%20"]) read = each(read, (path) => [path, cutAt(path, mark)]);
  read = each(read, (path) => [withoutParameters(path), withoutEndings(path)]);
  read = each(read, (path) => [path, path.replace(/\/{2,}/g, "/")]);
  read = each(read, (path) => [dropTrailingSlash(path)]);
  read = each(read, (path) => [path, ...suffixReadings(path)]);
  return read && [...read].filter((path) => path !== canonical);
}

/**
 * The path without a format suffix, which Rails, Grape and Spring MVC ignore in routing: cut at each dot of the last
 * segment that has something before it. No pattern has more dots in a segment than are looked at.
 */
export function suffixReadings(path: string): readonly string[] {
  const found: string[] = [];
  const start = path.lastIndexOf("/") + 1;
  let hasName = false;
  for (let at = start; at < path.length && found.length < maxDots; at++) {
    if (path.charCodeAt(at) !== dot) hasName = true;
    else if (hasName) found.push(path.slice(0, at));
  }
  return found;
}

const maxDots = 8;

/** In characters, over all readings of one path: beyond it, looking into them would cost milliseconds. */
const maxReadLength = 128 * 1024;

function each(
  paths: ReadonlySet<string> | undefined,
  readings: (path: string) => readonly string[],
): ReadonlySet<string> | undefined {
  if (paths === undefined) return undefined;
  const all = new Set<string>();
  let length = 0;
  for (const path of paths) {
    for (const reading of readings(path)) {
      if (all.has(reading)) continue;
      all.add(reading);
      length += reading.length;
    }
  }
  return length > maxReadLength ? undefined : all;
}

function cutAt(path: string, mark: string): string {
  const at = path.indexOf(mark);
  return at < 0 ? path : path.slice(0, at);
}

/** Each segment cut at an encoded semicolon too, and without spaces around it and dots at its end. */
function withoutEndings(normal: string): string {
  if (!/;|%3B|%20|\.(?:\/|$)/.test(normal)) return normal;
  const segments = normal.split("/");
  for (let i = 0; i < segments.length; i++) {
    let segment = segments[i]!;
    const cut = segment.search(/;|%3B/);
    if (cut >= 0) segment = segment.slice(0, cut);
    let start = 0;
    while (segment.startsWith("%20", start)) start += 3;
    let end = segment.length;
    for (let before = -1; before !== end && end > start; ) {
      before = end;
      if (segment.charCodeAt(end - 1) === dot) end--;
      else if (segment.endsWith("%20", end)) end -= 3;
    }
    segments[i] = segment.slice(start, end);
  }
  return segments.join("/");
}
