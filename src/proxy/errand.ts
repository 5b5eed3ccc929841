import type { Socket } from "node:net";
import type { Answer, ProbeAnswer, Work } from "../engine/answer.js";
import type { Client } from "../engine/flight.js";
import type { Attempt, Outcome, Upstream } from "../model.js";
import { bindsConnection } from "../rules/connection-bound.js";
import { headerValue } from "../rules/headers.js";
import { forwardedTarget } from "../rules/key.js";
import { probeTarget } from "../rules/probe-target.js";
import { publicPath } from "../rules/public-path.js";
import { type Dispatch, exchange, openCall } from "./exchange.js";
import { hostOf, type Peer, upstreamHeaders } from "./forward.js";
import type { Guarded, Identified } from "./gate.js";
import type { InForce, LaneParts } from "./in-force.js";
import { callPlainly, type WholeDispatch } from "./plain/plain-call.js";
import type { Pools } from "./pools.js";
import type { ReplyContext, Sent } from "./reply.js";
import { traceAnswer, traceCall } from "./traced.js";
import type { Visit } from "./visit.js";

/** The client's side of an errand. */
export interface Desk {
  readonly socket: Socket;
  /** Writes the answer, or nothing where the client has left. Never throws: what cannot be written is told to `onFault`. */
  send(answer: Answer, context: ReplyContext, onFault: (error: Error) => void): Sent;
  /** The request's body is not needed any more; perhaps told twice. */
  free(): void;
}

/** A protected request, read whole. */
export interface Task {
  readonly visit: Visit;
  readonly inForce: InForce;
  readonly guarded: Guarded;
  readonly identified: Identified;
  readonly peer: Peer;
  readonly body: Buffer;
  readonly desk: Desk;
}

/**
 * One request as the engine deals with it: a client that is answered once, and the work that may be done for it. One
 * object with methods: every request makes one, and what it makes besides is garbage.
 */
export class Errand implements Client, Work {
  readonly attempt: Attempt;
  readonly #begunMs = performance.now();
  #awayMs = 0;

  constructor(
    private readonly task: Task,
    private readonly parts: Pick<LaneParts, "hub" | "pools" | "engine" | "usual" | "budget">,
  ) {
    const { visit, identified } = task;
    const { attempt } = identified;
    const { trace } = visit;
    this.attempt =
      trace === undefined ? attempt : { ...attempt, keyHash: attempt.keyHash, mustExist: attempt.mustExist, trace };
    visit.route = attempt.route;
    visit.key = attempt.key.slice(0, 8);
  }

  get work(): Work {
    return this;
  }

  /** One answer, now or later, or none for a client that leaves before. */
  begin(): void {
    const { visit, desk, identified } = this.task;
    if (identified.scope.isUncertain) this.parts.hub.emit("scopeUncertain", { route: this.attempt.route.name });
    const leave = this.parts.engine.begin(this);
    visit.onHangUp = () => {
      if (!leave()) return undefined;
      desk.free();
      return "in_progress";
    };
  }

  waited(durationMs: number): void {
    this.#awayMs += durationMs;
    this.attempt.trace?.waited(durationMs);
  }

  reply(given: Answer): void {
    const answer = this.#withRetryAfter(given);
    const { visit, inForce, guarded, identified, desk: client } = this.task;
    const { route, policy, head } = guarded;
    const { scope } = identified;
    client.free();
    visit.overheadMs = Math.max(0, performance.now() - this.#begunMs - this.#awayMs);
    if (visit.trace !== undefined) traceAnswer(visit.trace, answer);
    if (answer.kind === "response" && answer.ageMs !== null) {
      this.parts.hub.emit("duplicate", { route: route.name, ageMs: answer.ageMs });
    }
    const context = {
      method: head.method,
      route: route.name,
      idempotencyKey: identified.rawKey,
      recordKey: this.attempt.key,
      hidesCookies: scope.isUncertain || scope.isAnybody,
      replayHeader: policy.replayHeader,
      problems: inForce.config.problems,
      via: `1.1 ${inForce.pseudonym}`,
      cors: route.cors,
      request: head.rawHeaders,
      patienceMs: route.upstream.timeoutMs,
    };
    if (answer.kind === "response" && !visit.isClosed) {
      const { unread } = this.parts.budget;
      if (unread.add(client.socket, answer.response.body)) visit.onClosed = () => unread.taken(client.socket);
    }
    visit.done(
      client.send(answer, context, (error) =>
        this.parts.hub.emit("fault", {
          what: "an answer cannot be written",
          route: route.name,
          key: visit.key!,
          error,
        }),
      ),
    );
  }

  /** Of a request in progress it is known how long its route usually takes, and how long this client has waited. */
  #withRetryAfter(answer: Answer): Answer {
    if (answer.kind !== "problem" || answer.problem.code !== "in-progress") return answer;
    const retryAfterSeconds = this.parts.usual.retryAfterSeconds(this.attempt.route.name, this.#awayMs);
    return { ...answer, problem: { ...answer.problem, retryAfterSeconds } };
  }

  run(isOurs: () => boolean): Promise<Outcome> {
    return new Promise((resolve) => {
      const { guarded, body, peer } = this.task;
      const { route, policy, head } = guarded;
      const { trace } = this.attempt;
      const begunMs = performance.now();
      const dispatch: WholeDispatch = {
        origin: route.upstream.origin,
        method: head.method,
        target: forwardedTarget(policy.key, head.target),
        headers: upstreamHeaders(head, route, peer, "whole"),
        body,
        timeoutMs: route.upstream.timeoutMs,
        maxStoredBytes: policy.maxStoredBytes,
        streamPattern: policy.streamPattern,
        mayBeSent: isOurs,
        owner: peer.socket,
        isBound: bindsConnection(head.rawHeaders),
        retryUnsentMs: route.upstream.retryUnsentMs,
        retries: this.#retries(),
      };
      const end = trace === undefined ? undefined : traceCall(trace, dispatch, publicPath(route, head.rawPath));
      call(this.parts.pools, route.upstream, dispatch, (outcome) => {
        end?.(outcome);
        const durationMs = performance.now() - begunMs;
        this.parts.hub.emit("upstream", { route: route.name, durationMs });
        this.#awayMs += durationMs;
        resolve(outcome);
      });
    });
  }

  /** A closure only where it can be called. */
  #retries(): (() => void) | undefined {
    const { name, upstream } = this.task.guarded.route;
    if (upstream.retryUnsentMs === 0) return undefined;
    return () => this.parts.hub.emit("upstreamRetry", { route: name });
  }

  async probe(): Promise<ProbeAnswer> {
    const { guarded, identified } = this.task;
    const { probe } = guarded.policy;
    const { trace } = this.attempt;
    const url = probe === null ? undefined : probeTarget(probe.url, identified.probe);
    if (probe === null || url === undefined) return { kind: "unclear", why: "the probe's address cannot be filled in" };
    const begunMs = performance.now();
    const [upstream, dispatch] = probeCall(this.task, url, probe.method, this.#retries());
    const end = trace === undefined ? undefined : traceCall(trace, dispatch);
    const outcome = await exchange(this.parts.pools.forProtected(upstream), dispatch);
    end?.(outcome);
    this.#awayMs += performance.now() - begunMs;
    if (outcome.kind !== "answered") {
      if (outcome.kind === "streamed") outcome.response.body.destroy();
      return { kind: "unclear", why: `the probe was ${outcome.kind}` };
    }
    const { status } = outcome.response;
    if (probe.done.has(status)) return { kind: "done", response: outcome.response };
    if (probe.notDone.has(status)) return { kind: "notDone" };
    return { kind: "unclear", why: `the probe was answered with ${status}` };
  }
}

function call(pools: Pools, upstream: Upstream, dispatch: WholeDispatch, done: (outcome: Outcome) => void): void {
  const plain = dispatch.method === "HEAD" ? undefined : pools.plain(upstream, dispatch);
  if (plain !== undefined) callPlainly(plain, dispatch, done);
  else openCall(pools.forProtected(upstream), dispatch, done);
}

/** Asked with the client's own credentials, but only where the request itself would take them. */
function probeCall(
  { guarded, peer }: Task,
  url: string,
  method: string,
  retries: (() => void) | undefined,
): [Upstream, Dispatch] {
  const { route, policy, head } = guarded;
  const { upstream } = route;
  const { origin, pathname, search } = new URL(url);
  const isSameOrigin = origin === upstream.origin;
  const sent = upstreamHeaders(head, route, peer, "whole");
  const headers = ["Host", isSameOrigin ? (headerValue(sent, "host") ?? hostOf(origin)) : hostOf(origin)];
  for (const name of ["Authorization", "traceparent"]) {
    const value = headerValue(sent, name);
    if (value !== undefined && (isSameOrigin || name === "traceparent")) headers.push(name, value);
  }
  const dispatch: Dispatch = {
    origin,
    method,
    target: pathname + search,
    headers,
    body: null,
    timeoutMs: upstream.timeoutMs,
    maxStoredBytes: policy.maxStoredBytes,
    streamPattern: policy.streamPattern,
    owner: peer.socket,
    isBound: isSameOrigin && bindsConnection(head.rawHeaders),
    mayRepeat: method === "GET" || method === "HEAD",
    retryUnsentMs: upstream.retryUnsentMs,
    retries,
  };
  return [isSameOrigin ? upstream : elsewhere(upstream, origin), dispatch];
}

/** The same settings for another address. Its authorities are trusted there too; the name and the client certificate are for the upstream alone. */
function elsewhere(upstream: Upstream, origin: string): Upstream {
  const { tls } = upstream;
  return { ...upstream, origin, tls: tls && { serverName: null, ca: tls.ca, cert: null, key: null } };
}
