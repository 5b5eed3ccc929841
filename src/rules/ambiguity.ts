import type { HeaderPairs, Policy, ProblemNote, Route } from "../model.js";
import { credentialFields } from "./credential.js";
import { collectFields, foldName, framingDefect, isUnusual, twinDefect } from "./fields.js";
import { isOverrideHeader, queryOverrides } from "./method-override.js";
import { type ReadPath, readPath } from "./path.js";
import { hostName, originForm } from "./target.js";

/** A request as node's parser gives it. */
export interface RawRequest {
  readonly method: string;
  /** The request target, one character for each octet. */
  readonly target: string;
  readonly httpVersion: string;
  readonly rawHeaders: HeaderPairs;
}

/** A request that can be read in one way only, as far as that can be told without knowing its route. */
export interface RequestHead {
  readonly kind: "head";
  readonly method: string;
  /** In origin form, otherwise as received: what is forwarded. */
  readonly target: string;
  /** The target up to the question mark. */
  readonly rawPath: string;
  /** What follows it; `undefined` where there is none. */
  readonly query: string | undefined;
  readonly path: ReadPath;
  /** As received. */
  readonly hostHeader: string;
  /** Lower case, without port. */
  readonly host: string;
  readonly httpVersion: string;
  readonly rawHeaders: HeaderPairs;
  /** Values of `Via`. */
  readonly via: readonly string[];
  /**
   * Methods that override fields and parameters name instead of the request's own, in upper case. With any of them the
   * request is unsafe.
   */
  readonly overrides: readonly string[];
  /** Whether the body has a `Content-Encoding`. */
  readonly hasCoding: boolean;
  /** Field names that `Connection` lists, in lower case, without those that no proxy forwards anyway. */
  readonly connection: readonly string[];
  /** Field names with unusual characters, folded (`foldName`). */
  readonly unusual: readonly string[];
}

export interface Refusal {
  readonly kind: "refused";
  readonly problem: ProblemNote;
}

/** Above this many header fields a request is refused. */
export const maxHeaderFields = 200;

/**
 * The part of the check that needs no route, and runs first. In this order: too many fields, HTTP version, method, `Host`,
 * framing, twins of fields that mean something on every route, target, path.
 */
export function readHead(request: RawRequest): RequestHead | Refusal {
  const { method, rawHeaders, httpVersion } = request;
  if (rawHeaders.length > 2 * maxHeaderFields) {
    const detail = `The request has more than ${maxHeaderFields} header fields.`;
    return { kind: "refused", problem: { code: "headers-too-many", detail } };
  }
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return ambiguous("only HTTP/1.0 and HTTP/1.1 are understood");
  if (method === "CONNECT") return ambiguous("this is no forward proxy");
  const fields = collectFields(rawHeaders);
  if (fields.hosts !== 1) return ambiguous(fields.hosts === 0 ? "there is no Host" : "there is more than one Host");
  const host = hostName(fields.host);
  if (host === undefined) return ambiguous("Host is not valid");
  const defect = framingDefect(fields, httpVersion) ?? twinDefect(fields.unusual);
  if (defect !== undefined) return ambiguous(defect);
  const target = originForm(request.target, fields.host);
  if (target === undefined) return ambiguous("the target is for another server");
  const mark = target.indexOf("?");
  const query = mark < 0 ? undefined : target.slice(mark + 1);
  if (query !== undefined && !isQuery(query))
    return ambiguous("the target holds a fragment, a control character or a space");
  const rawPath = mark < 0 ? target : target.slice(0, mark);
  const path = rawPath === "*" ? serverWide(method) : readPath(rawPath);
  if (path.kind === "refused") return ambiguous(path.detail);
  const { hasCoding, connection, unusual, via } = fields;
  const overrides = overridesOf(method, fields.overrides, queryOverrides(query));
  return {
    kind: "head",
    method,
    target,
    rawPath,
    query,
    path,
    hostHeader: fields.host,
    host,
    httpVersion,
    rawHeaders,
    via,
    overrides,
    hasCoding,
    connection,
    unusual,
  };
}

/**
 * The part that needs the route: nothing may take away, or double behind our back, what a protected route reads its
 * key, scope or fingerprint from.
 */
export function refuseForRoute(route: Route, head: RequestHead): Refusal | undefined {
  const { policy } = route;
  if (policy === null) return undefined;
  const { names, isAnyUnusual } = policyFields(policy);
  const mayHaveTwins = head.unusual.length > 0 || isAnyUnusual;
  if (head.connection.length === 0 && !mayHaveTwins) return undefined;
  for (const listed of head.connection) {
    if (names.includes(listed) || isOverrideHeader(listed)) {
      return ambiguous("Connection names a field that this route reads");
    }
  }
  if (!mayHaveTwins) return undefined;
  for (let i = 0; i < head.rawHeaders.length; i += 2) {
    const received = head.rawHeaders[i]!.toLowerCase();
    for (const name of names) {
      if (received !== name && foldName(received) === foldName(name)) {
        return ambiguous(
          "a field differs from one that this route reads only by characters that are no letters or digits",
        );
      }
    }
  }
  return undefined;
}

export function ambiguous(reason: string): Refusal {
  const detail = `The request can be read in more than one way: ${reason}.`;
  return { kind: "refused", problem: { code: "request-ambiguous", detail } };
}

/** A proxy before us may repeat the method of each request. */
function overridesOf(method: string, named: readonly string[], asked: readonly string[]): readonly string[] {
  if (named.length === 0 && asked.length === 0) return named;
  return [...named, ...asked].filter((other) => other !== method);
}

function isQuery(query: string): boolean {
  for (let i = 0; i < query.length; i++) {
    const code = query.charCodeAt(i);
    if (code <= 0x20 || code === 0x7f || code === 0x23 || code > 0xff) return false;
  }
  return true;
}

/** `OPTIONS *` asks about the server as a whole: no route has it. */
function serverWide(method: string): ReturnType<typeof readPath> {
  if (method !== "OPTIONS") return { kind: "refused", detail: "only OPTIONS is for the server as a whole" };
  return { kind: "path", canonical: "*", doubtful: undefined, variants: () => [] };
}

interface ReadFields {
  readonly names: readonly string[];
  readonly isAnyUnusual: boolean;
}

const readByPolicy = new WeakMap<Policy, ReadFields>();

/** The same for every request of a policy, so it is made once. */
function policyFields(policy: Policy): ReadFields {
  const known = readByPolicy.get(policy);
  if (known !== undefined) return known;
  const names = fieldsRead(policy);
  const found = { names, isAnyUnusual: names.some(isUnusual) };
  readByPolicy.set(policy, found);
  return found;
}

/** Names of the header fields that decide a record's key and fingerprint, in lower case. */
function fieldsRead(policy: Policy): string[] {
  const names = [...policy.fingerprint.headers];
  if (policy.key.age?.header) names.push(policy.key.age.header);
  for (const source of [...policy.key.sources, ...policy.scope]) {
    if (source.from === "header") names.push(source.name.toLowerCase());
    else if (source.from === "cookie") names.push("cookie");
    else if (source.from === "client") names.push(...credentialFields);
    else if (source.from === "form") names.push("content-type");
  }
  return names;
}
