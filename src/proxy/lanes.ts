import { randomUUID } from "node:crypto";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Config } from "../config/config.js";
import type { Engine } from "../engine/engine.js";
import type { EventHub } from "../events.js";
import type { ProblemNote } from "../model.js";
import { policyPath, problemDocument } from "../problem.js";
import { upstreamProblem } from "../rules/outcome.js";
import { publicPath } from "../rules/public-path.js";
import { compileRouter, type Router } from "../rules/route.js";
import type { Tracer } from "../trace.js";
import { type BodyBudget, hasBody, isDeclaredOver, type ReadWhole, readBody } from "./body.js";
import { peerOf, type Trust, upstreamHeaders } from "./forward.js";
import { admit, type Guarded, type Identified, identify, type Open, type Refused } from "./gate.js";
import { passThrough } from "./passthrough.js";
import { negotiatePolicy, type PolicyDocument, policyDocument } from "./policy-page.js";
import type { Pools } from "./pools.js";
import { rawProblem, sendAnswer, sendProblem, sendStream, sendWhole } from "./reply.js";
import type { FastifyRouting, Lanes } from "./server.js";
import { traceAnswer, traceCall, tracedRequest } from "./traced.js";
import { compileTrust } from "./trust.js";
import { isWebSocket, type Tunnels, withoutUpgrade } from "./upgrade.js";
import { tellOfUpgrade, Visit } from "./visit.js";
import { workFor } from "./work.js";

export interface LaneParts {
  readonly engine: Engine;
  readonly hub: EventHub;
  readonly pools: Pools;
  readonly tunnels: Tunnels;
  readonly budget: BodyBudget;
  readonly passTo: FastifyRouting;
  /** Where tracing is on. */
  readonly tracer?: Tracer | undefined;
}

/** What a reload replaces, all at once. */
interface InForce {
  readonly config: Config;
  readonly router: Router;
  readonly policy: PolicyDocument;
  readonly isTrusted: Trust;
}

/**
 * Where a request goes: refused by the gate, streamed through, or read, identified and given to the engine. Every way
 * ends in one `visit.done`.
 */
export class TrafficLanes implements Lanes {
  #inForce: InForce;

  constructor(
    private readonly parts: LaneParts,
    config: Config,
  ) {
    this.#inForce = compile(config);
  }

  apply(config: Config): void {
    this.#inForce = compile(config);
    this.parts.pools.keepOnly(config.routes.map((route) => route.upstream));
  }

  request(request: IncomingMessage, response: ServerResponse, mustContinue: boolean): void {
    const inForce = this.#inForce;
    const trace = this.parts.tracer?.begin(tracedRequest(request));
    const visit = new Visit(request, response, this.parts.hub, mustContinue, trace);
    if (request.url === policyPath && (request.method === "GET" || request.method === "HEAD")) {
      this.#publish(visit, inForce.policy);
      return;
    }
    const admission = admit(inForce.router, request);
    if (admission.kind === "guarded") this.#guard(visit, inForce, admission);
    else if (admission.kind === "open") this.#open(visit, inForce, admission);
    else this.#refuse(visit, inForce, admission);
  }

  upgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { config, router, isTrusted } = this.#inForce;
    const admission = isWebSocket(request) ? admit(router, request) : undefined;
    if (admission?.kind !== "open") {
      withoutUpgrade(server, request, socket, head);
      return;
    }
    const { route } = admission;
    const headers = upstreamHeaders(admission.head, route, peerOf(request, isTrusted), "streamed");
    headers.push("Connection", "Upgrade", "Upgrade", "websocket");
    const trace = this.parts.tracer?.begin(tracedRequest(request));
    const { origin } = route.upstream;
    const end =
      trace && traceCall(trace, { method: "GET", origin, headers }, publicPath(route, admission.head.rawPath));
    const tunnel = { upstream: route.upstream, target: admission.head.target, headers };
    const told = tellOfUpgrade(request, route, this.parts.hub, trace);
    this.parts.tunnels.open(request, socket, head, tunnel, {
      answered: (status) => {
        end?.(status);
        told({ status, result: "unprotected" });
      },
      failed: (error, isTimeout) => {
        const outcome = isTimeout
          ? ({ kind: "unanswered", error, cause: "timeout" } as const)
          : ({ kind: "unsent", error } as const);
        end?.(outcome);
        const instance = `urn:uuid:${randomUUID()}`;
        const problem = upstreamProblem(outcome);
        const document = problemDocument(problem, { instance, route: route.name }, config.problems);
        if (socket.writable) socket.end(rawProblem(document));
        told({ status: document.status, result: "error", code: problem.code, instance });
      },
    });
  }

  #publish(visit: Visit, policy: PolicyDocument): void {
    const { headers, body } = negotiatePolicy(policy, visit.request.headers.accept);
    visit.request.resume();
    visit.response.writeHead(200, headers).end(body);
    visit.done({ status: 200, result: "unprotected" });
  }

  /** `mode: observe` refuses nothing that can be forwarded: it counts, and lets the request through. */
  #refuse(visit: Visit, inForce: InForce, refused: Refused, body?: Buffer): void {
    const { route, head, problem, rawKey } = refused;
    visit.route = route;
    if (route?.policy?.mode === "observe" && head !== undefined) {
      this.parts.hub.emit("observed", { route: route.name, would: "reject" });
      this.#open(visit, inForce, { kind: "open", route, head }, body);
      return;
    }
    const context = { route: route?.name ?? null, idempotencyKey: rawKey, problems: inForce.config.problems };
    visit.done(sendProblem(visit.response, problem, "rejected", context));
  }

  /** The unprotected lane. A client that leaves takes its call along. `read`: the body, where it has been read already. */
  #open(visit: Visit, inForce: InForce, { route, head }: Open, read?: Buffer): void {
    const { request, response } = visit;
    visit.route = route;
    visit.letContinue();
    const begunMs = performance.now();
    let cancel: (() => void) | undefined;
    let hasLeft = false;
    visit.onHangUp = () => {
      hasLeft = true;
      cancel?.();
      return "unprotected";
    };
    const dispatch = {
      origin: route.upstream.origin,
      method: head.method,
      target: head.target,
      headers: upstreamHeaders(head, route, peerOf(request, inForce.isTrusted), "streamed"),
      timeoutMs: route.upstream.timeoutMs,
    };
    const end = visit.trace && traceCall(visit.trace, dispatch, publicPath(route, head.rawPath));
    passThrough(this.parts.passTo, request, response, {
      pool: this.parts.pools.for(route.upstream),
      dispatch,
      body: read ?? (hasBody(request) ? "streamed" : null),
      begun: (stop) => {
        cancel = stop;
        if (hasLeft) stop();
      },
      arrived: (outcome) => {
        end?.(outcome);
        this.parts.hub.emit("upstream", { route: route.name, durationMs: performance.now() - begunMs });
        if (outcome.kind === "streamed") {
          if (!hasLeft) visit.done({ status: outcome.response.status, result: "unprotected" });
          sendStream(response, outcome.response, [...outcome.response.headers], "cut");
        } else if (hasLeft) {
          return;
        } else if (outcome.kind === "answered") {
          visit.done({ status: outcome.response.status, result: "unprotected" });
          sendWhole(response, outcome.response, [...outcome.response.headers]);
        } else {
          const context = { route: route.name, idempotencyKey: undefined, problems: inForce.config.problems };
          visit.done(sendProblem(response, upstreamProblem(outcome), "error", context));
        }
      },
    });
  }

  /** The protected lane: read whole, identified, then the engine's. */
  #guard(visit: Visit, inForce: InForce, guarded: Guarded): void {
    const { route, head, known } = guarded;
    const { requestBodyBytes } = inForce.config.server.limits;
    visit.route = route;
    if (!isDeclaredOver(visit.request, requestBodyBytes)) visit.letContinue();
    readBody(visit.request, requestBodyBytes, this.parts.budget, (read) => {
      if (read.kind === "aborted") return;
      if (read.kind !== "read") {
        if (read.soFar.length > 0) visit.request.unshift(read.soFar);
        const problem = read.kind === "overloaded" ? overloaded : tooLarge(requestBodyBytes);
        this.#refuse(visit, inForce, { kind: "refused", route, head, problem, rawKey: known?.key.raw });
        return;
      }
      const identified = identify(guarded, read.body);
      if (identified.kind === "identified") {
        this.#run(visit, inForce, guarded, identified, read);
        return;
      }
      read.free();
      if (identified.kind === "open") this.#open(visit, inForce, identified, read.body);
      else this.#refuse(visit, inForce, identified, read.body);
    });
  }

  #run(visit: Visit, inForce: InForce, guarded: Guarded, identified: Identified, read: ReadWhole): void {
    const { route, policy, head } = guarded;
    const { attempt, rawKey, probe } = identified;
    const { hub, pools, engine } = this.parts;
    visit.key = attempt.key.slice(0, 8);
    const context = {
      method: visit.method,
      route: route.name,
      idempotencyKey: rawKey,
      replayHeader: policy.replayHeader,
      problems: inForce.config.problems,
    };
    const peer = peerOf(visit.request, inForce.isTrusted);
    const onFault = (error: Error) =>
      hub.emit("fault", {
        what: "an answer cannot be written",
        route: route.name,
        key: attempt.key.slice(0, 8),
        error,
      });
    const { trace } = visit;
    const begunMs = performance.now();
    let awayMs = 0;
    const away = (durationMs: number) => {
      awayMs += durationMs;
    };
    const leave = engine.begin({
      attempt: trace === undefined ? attempt : { ...attempt, trace },
      work: workFor({ route, policy, head, peer, body: read.body, probe, trace, away }, pools, hub),
      waited:
        trace === undefined
          ? away
          : (durationMs) => {
              away(durationMs);
              trace.waited(durationMs);
            },
      reply: (answer) => {
        read.free();
        visit.overheadMs = Math.max(0, performance.now() - begunMs - awayMs);
        if (trace !== undefined) traceAnswer(trace, answer);
        visit.done(sendAnswer(visit.response, answer, context, onFault));
      },
    });
    visit.onHangUp = () => {
      if (!leave()) return undefined;
      read.free();
      return "in_progress";
    };
  }
}

function compile(config: Config): InForce {
  return {
    config,
    router: compileRouter(config.routes),
    policy: policyDocument(config),
    isTrusted: compileTrust(config.server.trustProxy),
  };
}

const overloaded: ProblemNote = {
  code: "overloaded",
  detail: "The gateway holds as many request bodies as it may. Nothing was sent; send the same request again later.",
  retryAfterSeconds: 1,
};

function tooLarge(limitBytes: number): ProblemNote {
  return { code: "body-too-large", detail: `The body of a protected request is limited to ${limitBytes} bytes.` };
}
