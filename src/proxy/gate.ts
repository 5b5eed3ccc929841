import type { IncomingMessage } from "node:http";
import type { Attempt, Fingerprint, KeyHash, Policy, ProblemNote, RecordKey, Route, Source } from "../model.js";
import { policyPath, readyPath } from "../problem.js";
import { ambiguous, type RequestHead, readHead, refuseForRoute } from "../rules/ambiguity.js";
import { preflightMethod } from "../rules/cors.js";
import { comparedPath, fingerprint } from "../rules/fingerprint.js";
import { type KeyReading, readKey, recordKey } from "../rules/key.js";
import { readAge } from "../rules/key-age.js";
import { keyHash } from "../rules/key-hash.js";
import { type ProbeInput, probeNeedsBody } from "../rules/probe-target.js";
import type { Match, Router } from "../rules/route.js";
import { routeRequest } from "../rules/routing.js";
import { readScope, type ScopeReading } from "../rules/scope.js";
import { BodyReader, needsBody, type SourceInput } from "../rules/source.js";
import { hasPassed, loopDetail, maxForwards } from "../rules/via.js";

/** A request the gateway answers itself. */
export interface Refused {
  readonly kind: "refused";
  readonly problem: ProblemNote;
  readonly route: Route | null;
  /** As it was read, for the problem document. */
  readonly rawKey: string | undefined;
  /** Of a request whose record is known all the same. */
  readonly recordKey?: RecordKey | undefined;
  /** Where the request itself is well-formed: `mode: observe` lets it through. */
  readonly head: RequestHead | undefined;
}

/** A request that is streamed through: its route protects nothing, or it has no key and needs none. */
export interface Open {
  readonly kind: "open";
  readonly route: Route;
  readonly head: RequestHead;
}

/** A request about the gateway itself: its policy, its readiness, the methods of a path, what of a request arrives here. */
export interface Own {
  readonly kind: "own";
  readonly page: "policy" | "ready" | "options" | "trace";
  readonly head: RequestHead;
  /** For `Allow`. */
  readonly allow?: string | undefined;
}

/** What decides which way a request goes. */
export interface GateRules {
  readonly router: Router;
  /** Under which name the gateway stands in `Via`. */
  readonly pseudonym: string;
}

/** A request whose body is needed before anything can be said. */
export interface Guarded {
  readonly kind: "guarded";
  readonly route: Route;
  readonly policy: Policy;
  readonly head: RequestHead;
  readonly match: Match;
  /** Key and scope where the head says both. */
  readonly known: Owned | undefined;
}

/** Whose key it is. */
interface Owned {
  readonly key: Extract<KeyReading, { kind: "key" }>;
  readonly scope: Extract<ScopeReading, { kind: "scope" }>;
  /** Older than `key.maxAge`. */
  readonly isOld: boolean;
}

/** A request with a key: what the engine is asked for. */
export interface Identified {
  readonly kind: "identified";
  readonly attempt: Attempt;
  readonly rawKey: string;
  readonly keySources: readonly Source[];
  readonly scope: Owned["scope"];
  /** What a probe URL may name. */
  readonly probe: ProbeInput;
}

/** What node's parser says of a request. */
export type Received = Pick<IncomingMessage, "method" | "url" | "httpVersion" | "rawHeaders">;

/**
 * What becomes of a request as far as its head tells. The order is the law: readable in one way only, routed, nothing
 * that hides what the route reads, key, scope; the body comes after this, the store after the body.
 */
export function admit({ router, pseudonym }: GateRules, request: Received): Refused | Own | Open | Guarded {
  const head = readHead({
    method: request.method ?? "",
    target: request.url ?? "",
    httpVersion: request.httpVersion,
    rawHeaders: request.rawHeaders,
  });
  if (head.kind === "refused") return refused(head.problem, null);
  if (head.via.length > 0 && hasPassed(head.via, pseudonym)) {
    return refused({ code: "loop-detected", detail: loopDetail }, null);
  }
  const own = aboutGateway(router, head);
  if (own !== undefined) return own;
  const preflight = preflightOf(router, head);
  const routing = routeRequest(router, preflight ?? head);
  if (routing.kind === "refused") return refused(routing.problem, null);
  const { match } = routing;
  if (match === undefined) return unrouted(router, head);
  const { route } = match;
  const { policy } = route;
  if (policy === null || preflight !== undefined) return { kind: "open", route, head };
  const refusal = refuseForRoute(route, head);
  if (refusal !== undefined) return refused(refusal.problem, route);
  const guarded: Guarded = { kind: "guarded", route, policy, head, match, known: undefined };
  const { doubt } = routing;
  if (needsBody(policy)) return doubt === undefined ? guarded : refused(ambiguous(doubt).problem, route);
  // Known already whether it will be refused or streamed: then the body is not read first.
  const owner = readOwner(guarded, new RequestInput(guarded, undefined));
  if (doubt !== undefined && !("kind" in owner)) return refused(ambiguous(doubt).problem, route);
  return "kind" in owner ? owner : { kind: "guarded", route, policy, head, match, known: owner };
}

function aboutGateway(router: Router, head: RequestHead): Own | Refused | undefined {
  const { method, path } = head;
  const page = path.canonical === policyPath ? "policy" : path.canonical === readyPath ? "ready" : undefined;
  if (page !== undefined) {
    if (method === "GET" || method === "HEAD") return { kind: "own", page, head };
    if (method === "OPTIONS") return { kind: "own", page: "options", head, allow: "GET, HEAD, OPTIONS" };
    return notAllowed("GET, HEAD, OPTIONS");
  }
  if (method !== "OPTIONS" && method !== "TRACE") return undefined;
  if (path.canonical !== "*" && maxForwards(method, head.rawHeaders) !== 0) return undefined;
  if (method === "TRACE") return { kind: "own", page: "trace", head };
  return { kind: "own", page: "options", head, allow: allowedAt(router, head) };
}

/**
 * The head by which a preflight is routed: it goes to where the request would go that it asks for, unprotected. A route
 * that names OPTIONS takes it before. A method override makes any request another one, so that there is no preflight then.
 */
function preflightOf(router: Router, head: RequestHead): RequestHead | undefined {
  const method = preflightMethod(head.method, head.rawHeaders);
  if (method === undefined || head.overrides.length > 0) return undefined;
  const { host, path } = head;
  if (router.find("OPTIONS", host, path.canonical)?.route.match.methods?.has("OPTIONS")) return undefined;
  return router.find(method, host, path.canonical) === undefined ? undefined : { ...head, method };
}

function unrouted(router: Router, head: RequestHead): Own | Refused {
  const allow = allowedAt(router, head);
  if (allow === undefined) {
    return refused({ code: "no-route", detail: "No route of this gateway takes this host and path." }, null);
  }
  // What the path takes is what is asked for.
  return head.method === "OPTIONS" ? { kind: "own", page: "options", head, allow } : notAllowed(allow);
}

function allowedAt(router: Router, { host, path }: RequestHead): string | undefined {
  const methods = router.methodsAt(host, path.canonical);
  return methods.length === 0 ? undefined : [...new Set([...methods, "OPTIONS"])].join(", ");
}

function notAllowed(allow: string): Refused {
  return refused({ code: "method-not-allowed", detail: `This path takes ${allow}.`, allow }, null);
}

/** Whether more is to be read of the body than its bytes as they came, and these are in a content coding. */
export function needsDecoding({ policy, head }: Guarded): boolean {
  if (!head.hasCoding) return false;
  if (policy.fingerprint.body !== "none" || needsBody(policy)) return true;
  return policy.probe !== null && probeNeedsBody(policy.probe.url);
}

/** The same with the body at hand. `content`: without its content coding, `undefined` where that cannot be decoded. */
export function identify(guarded: Guarded, body: Buffer, content: Buffer | undefined): Refused | Open | Identified {
  const { route, policy, head } = guarded;
  const input = new RequestInput(guarded, content);
  const owner = guarded.known ?? readOwner(guarded, input);
  if ("kind" in owner) return owner;
  const { key, scope } = owner;
  const printed = fingerprint(policy.fingerprint, {
    method: head.method,
    path: comparedPath(route.match, head.path.canonical),
    query: head.query,
    isLeftOut: policy.key.isFirstOf ? keyParameters(policy, key.values) : undefined,
    rawHeaders: head.rawHeaders,
    isOverridden: head.overrides.length > 0,
    body: content ?? body,
  });
  const attempt = new KeyedAttempt(route, policy, owner, printed);
  const probe: ProbeInput = { key: key.values, params: guarded.match.params, body: input.body };
  return { kind: "identified", attempt, rawKey: key.raw, keySources: key.sources, scope, probe };
}

/** For the answer to a request that is refused although its key is known. */
export function knownRecord({ known, policy }: Guarded): RecordKey | undefined {
  return known && recordKey(policy.namespace, known.scope.values, known.key.values);
}

class KeyedAttempt implements Attempt {
  readonly key: RecordKey;
  #keyHash: KeyHash | undefined;

  constructor(
    readonly route: Route,
    readonly policy: Policy,
    private readonly owner: Owned,
    readonly fingerprint: Fingerprint,
  ) {
    this.key = recordKey(policy.namespace, owner.scope.values, owner.key.values);
  }

  /** Only a store asks for it: what is known already is replayed without. */
  get keyHash(): KeyHash {
    this.#keyHash ??= keyHash(this.owner.key.values);
    return this.#keyHash;
  }

  get mustExist(): boolean {
    return this.owner.isOld;
  }
}

function readOwner(guarded: Guarded, input: SourceInput): Owned | Refused | Open {
  const { route, policy, head } = guarded;
  const key = readKey(policy.key, input);
  if (key.kind === "none") return { kind: "open", route, head };
  if (key.kind === "missing") return refused({ code: "key-missing", detail: key.detail }, route, head, key.raw);
  if (key.kind === "invalid") return refused({ code: "key-invalid", detail: key.detail }, route, head, key.raw);
  const { age } = policy.key;
  const born = age === null ? undefined : readAge(age, key.values, head.rawHeaders, Date.now());
  if (born?.kind === "invalid") {
    if (!policy.key.required) return { kind: "open", route, head };
    return refused({ code: "key-invalid", detail: born.detail }, route, head, key.raw);
  }
  const scope = readScope(policy.scope, input);
  if (scope.kind === "missing") return refused({ code: "scope-missing", detail: scope.detail }, route, head, key.raw);
  return { key, scope, isOld: born?.kind === "old" };
}

/** Parameters of the query that repeat the key: with `firstOf` it is the same request wherever the key stands. */
function keyParameters({ key }: Policy, values: readonly string[]): (name: string, value: string) => boolean {
  return (name, value) =>
    values.includes(value) && key.sources.some((source) => source.from === "query" && source.name === name);
}

class RequestInput implements SourceInput {
  readonly rawHeaders: RequestHead["rawHeaders"];
  readonly host: string;
  readonly query: string | undefined;
  readonly params: Match["params"];
  readonly body: BodyReader;

  constructor({ head, match }: Guarded, content: Buffer | undefined) {
    this.rawHeaders = head.rawHeaders;
    this.host = head.host;
    this.query = head.query;
    this.params = match.params;
    this.body = new BodyReader(content, head.rawHeaders);
  }
}

function refused(problem: ProblemNote, route: Route | null, head?: RequestHead, rawKey?: string): Refused {
  return { kind: "refused", problem, route, head, rawKey };
}
