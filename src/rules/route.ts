import type { Route } from "../model.js";
import { canonicalPattern, decoded, foldCase } from "./path.js";

/** The route a request takes, and what its pattern's `:names` stand for. */
export interface Match {
  readonly route: Route;
  /**
   * Percent-decoded once, in the letter case of the request, without `;parameters`. A segment that is no UTF-8 is
   * left out: two different spellings must not become one value.
   */
  readonly params: Readonly<Record<string, string>>;
}

/**
 * Which route wins, in this order: the more specific path, segment by segment from the left (a literal segment
 * before `:name` before `*`); a route for the request's host before one for every host; one that names methods before
 * one that does not; one that minds letter case; the first in the file. One that does not fit by host or method leaves the request to the next.
 * The path comes before the host so that a `/*` for some host never hides what protects a path on all of them.
 *
 * `:name` stands for exactly one segment that is not empty, `/v1/*` for everything below `/v1` and for `/v1` itself.
 */
export interface Router {
  /** `host` is in lower case and without port, `path` canonical with its letter case kept. */
  find(method: string, host: string, path: string): Match | undefined;
  /**
   * For a request whose method an upstream may take for another: every protected route takes it whatever methods it
   * names, an unprotected one only if it takes all methods.
   */
  findUnsafe(host: string, path: string): Match | undefined;
  /** The methods that some route takes at this host and path, in order; none where a route takes every method. */
  methodsAt(host: string, path: string): readonly string[];
}

export function compileRouter(routes: readonly Route[]): Router {
  const exact = newNode();
  const folded = newNode();
  let order = 0;
  let isAnyExact = false;
  for (const route of routes) {
    insert(route.match.caseSensitive ? exact : folded, route, order++);
    isAnyExact ||= route.match.caseSensitive;
  }
  const named = [...new Set(routes.flatMap(({ match }) => [...(match.methods ?? [])]))].sort();
  const search = (method: string | undefined, host: string, path: string): Match | undefined => {
    if (path.charCodeAt(0) !== SLASH) return undefined;
    const inFolded = walk(folded, foldCase(path), 0, method, host);
    const inExact = isAnyExact ? walk(exact, path, 0, method, host) : undefined;
    const found =
      inExact === undefined || (inFolded !== undefined && inFolded.rank > inExact.rank) ? inFolded : inExact;
    return found === undefined ? undefined : matchOf(found, path);
  };
  return {
    find: search,
    findUnsafe: (host, path) => search(undefined, host, path),
    methodsAt: (host, path) => named.filter((method) => search(method, host, path) !== undefined),
  };
}

const SLASH = 0x2f;

interface Node {
  readonly literals: Map<string, Node>;
  parameter: Node | undefined;
  /** Patterns that end here. */
  here: Leaf | undefined;
  /** Patterns that end here with `/*`. */
  below: Leaf | undefined;
}

/** Routes of one pattern: those for a host, then those for all, each with the ones that name methods first. */
interface Leaf {
  readonly hosts: Map<string, Candidate[]>;
  readonly anyHost: Candidate[];
}

interface Candidate {
  readonly route: Route;
  /** Greater text, better route. */
  readonly rank: string;
  readonly order: number;
  readonly names: readonly (readonly [name: string, segment: number])[];
  /** Shared by all requests when the pattern has no names. */
  readonly match: Match;
}

function newNode(): Node {
  return { literals: new Map(), parameter: undefined, here: undefined, below: undefined };
}

function insert(root: Node, route: Route, order: number): void {
  const { path, caseSensitive, host, methods } = route.match;
  const names: [string, number][] = [];
  let rank = "";
  let node = root;
  let isBelow = false;
  const segments = path.split("/").filter((segment) => segment !== "");
  for (const [index, segment] of segments.entries()) {
    if (segment === "*" && index === segments.length - 1) {
      isBelow = true;
    } else if (segment.startsWith(":")) {
      names.push([segment.slice(1), index + 1]);
      node.parameter ??= newNode();
      node = node.parameter;
      rank += "1";
    } else {
      const canonical = canonicalPattern(segment);
      const literal = caseSensitive ? canonical : foldCase(canonical);
      const next = node.literals.get(literal) ?? newNode();
      node.literals.set(literal, next);
      node = next;
      rank += "2";
    }
  }
  rank += `${isBelow ? "0" : "3"}${host === null ? "0" : "1"}${methods === null ? "0" : "1"}`;
  const candidate = { route, rank, order, names, match: { route, params: {} } };
  if (isBelow) node.below = addTo(node.below, candidate);
  else node.here = addTo(node.here, candidate);
}

function addTo(known: Leaf | undefined, candidate: Candidate): Leaf {
  const leaf: Leaf = known ?? { hosts: new Map(), anyHost: [] };
  const { host } = candidate.route.match;
  let candidates = leaf.anyHost;
  if (host !== null) {
    candidates = leaf.hosts.get(host) ?? [];
    leaf.hosts.set(host, candidates);
  }
  candidates.push(candidate);
  candidates.sort((a, b) => (isBetter(a, b) ? -1 : 1));
  return leaf;
}

function isBetter(a: Candidate, b: Candidate): boolean {
  return a.rank === b.rank ? a.order < b.order : a.rank > b.rank;
}

/**
 * Depth first, the most specific branch first; `at` is the slash before the next segment, or the end. No node is
 * visited twice, so a lookup costs at most the patterns that share the path's shape.
 */
function walk(node: Node, path: string, at: number, method: string | undefined, host: string): Candidate | undefined {
  if (at >= path.length || path.length === 1) {
    return choose(node.here, method, host) ?? choose(node.below, method, host);
  }
  let end = path.indexOf("/", at + 1);
  if (end < 0) end = path.length;
  const next = node.literals.get(path.slice(at + 1, end));
  let found = next === undefined ? undefined : walk(next, path, end, method, host);
  if (found === undefined && node.parameter !== undefined && end > at + 1) {
    found = walk(node.parameter, path, end, method, host);
  }
  return found ?? choose(node.below, method, host);
}

function choose(leaf: Leaf | undefined, method: string | undefined, host: string): Candidate | undefined {
  if (leaf === undefined) return undefined;
  if (leaf.hosts.size > 0) {
    const candidates = leaf.hosts.get(host);
    const found = candidates === undefined ? undefined : firstOf(candidates, method);
    if (found !== undefined) return found;
  }
  return firstOf(leaf.anyHost, method);
}

function firstOf(candidates: readonly Candidate[], method: string | undefined): Candidate | undefined {
  for (const candidate of candidates) {
    const { match, policy } = candidate.route;
    if (match.methods === null) return candidate;
    if (method === undefined ? policy !== null : match.methods.has(method)) return candidate;
  }
  return undefined;
}

function matchOf(candidate: Candidate, path: string): Match {
  if (candidate.names.length === 0) return candidate.match;
  const params: Record<string, string> = {};
  const segments = path.split("/");
  for (const [name, index] of candidate.names) {
    const value = decoded(segments[index]!);
    if (value !== undefined) params[name] = value;
  }
  return { route: candidate.route, params };
}
