import type { IncomingMessage } from "node:http";
import type { Attempt, Fingerprint, KeyHash, Policy, ProblemNote, RecordKey, Route } from "../model.js";
import { ambiguous, type RequestHead, readHead, refuseForRoute } from "../rules/ambiguity.js";
import { fingerprint } from "../rules/fingerprint.js";
import type { Framable } from "../rules/frame.js";
import { jsonOnce } from "../rules/json.js";
import { type KeyReading, readKey, recordKey } from "../rules/key.js";
import { keyHash } from "../rules/key-hash.js";
import type { ProbeInput } from "../rules/probe-target.js";
import type { Match, Router } from "../rules/route.js";
import { routeRequest } from "../rules/routing.js";
import { readScope } from "../rules/scope.js";
import { needsBody, type SourceInput } from "../rules/source.js";

/** A request the gateway answers itself. */
export interface Refused {
  readonly kind: "refused";
  readonly problem: ProblemNote;
  readonly route: Route | null;
  /** As it was read, for the problem document. */
  readonly rawKey: string | undefined;
  /** Where the request itself is well-formed: `mode: observe` lets it through. */
  readonly head: RequestHead | undefined;
}

/** A request that is streamed through: its route protects nothing, or it has no key and needs none. */
export interface Open {
  readonly kind: "open";
  readonly route: Route;
  readonly head: RequestHead;
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
  readonly scope: readonly Framable[];
}

/** A request with a key: what the engine is asked for. */
export interface Identified {
  readonly kind: "identified";
  readonly attempt: Attempt;
  readonly rawKey: string;
  /** What a probe URL may name. */
  readonly probe: ProbeInput;
}

/** What node's parser says of a request. */
export type Received = Pick<IncomingMessage, "method" | "url" | "httpVersion" | "rawHeaders">;

/**
 * What becomes of a request as far as its head tells. The order is the law: readable in one way only, routed, nothing
 * that hides what the route reads, key, scope; the body comes after this, the store after the body.
 */
export function admit(router: Router, request: Received): Refused | Open | Guarded {
  const head = readHead({
    method: request.method ?? "",
    target: request.url ?? "",
    httpVersion: request.httpVersion,
    rawHeaders: request.rawHeaders,
  });
  if (head.kind === "refused") return refused(head.problem, null);
  const routing = routeRequest(router, head);
  if (routing.kind === "refused") return refused(routing.problem, null);
  const { match } = routing;
  if (match === undefined) {
    return refused({ code: "no-route", detail: "No route of this gateway takes this method, host and path." }, null);
  }
  const { route } = match;
  const { policy } = route;
  if (policy === null) return { kind: "open", route, head };
  const refusal = refuseForRoute(route, head);
  if (refusal !== undefined) return refused(refusal.problem, route);
  const guarded: Guarded = { kind: "guarded", route, policy, head, match, known: undefined };
  const { doubt } = routing;
  if (needsBody(policy)) return doubt === undefined ? guarded : refused(ambiguous(doubt).problem, route);
  // Known already whether it will be refused or streamed: then the body is not read first.
  const owner = readOwner(guarded, inputOf(guarded, noBody));
  if (doubt !== undefined && !("kind" in owner)) return refused(ambiguous(doubt).problem, route);
  return "kind" in owner ? owner : { kind: "guarded", route, policy, head, match, known: owner };
}

/** The same with the body at hand. */
export function identify(guarded: Guarded, body: Buffer): Refused | Open | Identified {
  const { route, policy, head } = guarded;
  const input = inputOf(guarded, body);
  const owner = guarded.known ?? readOwner(guarded, input);
  if ("kind" in owner) return owner;
  const printed = fingerprint(policy.fingerprint, {
    method: head.method,
    rawPath: head.rawPath,
    query: head.query,
    rawHeaders: head.rawHeaders,
    isOverridden: head.overrides.length > 0,
    body,
    json: input.json,
  });
  const attempt = new KeyedAttempt(route, policy, owner, printed);
  const probe: ProbeInput = { key: owner.key.values, params: guarded.match.params, json: input.json };
  return { kind: "identified", attempt, rawKey: owner.key.raw, probe };
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
    this.key = recordKey(policy.namespace, owner.scope, owner.key.values);
  }

  /** Only a store asks for it: what is known already is replayed without. */
  get keyHash(): KeyHash {
    this.#keyHash ??= keyHash(this.owner.key.values);
    return this.#keyHash;
  }
}

function readOwner(guarded: Guarded, input: SourceInput): Owned | Refused | Open {
  const { route, policy, head } = guarded;
  const key = readKey(policy.key, input);
  if (key.kind === "none") return { kind: "open", route, head };
  if (key.kind === "missing") return refused({ code: "key-missing", detail: key.detail }, route, head, key.raw);
  if (key.kind === "invalid") return refused({ code: "key-invalid", detail: key.detail }, route, head, key.raw);
  const scope = readScope(policy.scope, input);
  if (scope.kind === "missing") return refused({ code: "scope-missing", detail: scope.detail }, route, head, key.raw);
  return { key, scope: scope.values };
}

const noBody = Buffer.alloc(0);

function inputOf({ head, match }: Guarded, body: Buffer): SourceInput {
  return { rawHeaders: head.rawHeaders, query: head.query, params: match.params, json: jsonOnce(body) };
}

function refused(problem: ProblemNote, route: Route | null, head?: RequestHead, rawKey?: string): Refused {
  return { kind: "refused", problem, route, head, rawKey };
}
