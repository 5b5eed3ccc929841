import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { HeaderPairs, Outcome, Route } from "../model.js";
import { problemDocument } from "../problem.js";
import type { RequestHead } from "../rules/ambiguity.js";
import { bindsConnection } from "../rules/connection-bound.js";
import { corsFields } from "../rules/cors.js";
import { upstreamProblem } from "../rules/outcome.js";
import { publicPath } from "../rules/public-path.js";
import { hasBody } from "./body.js";
import { peerOf, upstreamHeaders } from "./forward.js";
import type { Open } from "./gate.js";
import type { InForce, LaneParts } from "./in-force.js";
import { sendInterim } from "./interim.js";
import { passThrough } from "./passthrough.js";
import { rawProblem, type Sent, sendProblem, sendStream, sendUnwritable, sendWhole } from "./reply.js";
import { traceCall, tracedRequest } from "./traced.js";
import { type FullVisit, tellOfUpgrade } from "./visit.js";

/** The unprotected lane: streamed both ways. */
export class OpenLane {
  constructor(private readonly parts: LaneParts) {}

  /** A client that leaves takes its call along. `read`: the body, where it has been read already. */
  stream(visit: FullVisit, inForce: InForce, { route, head }: Open, read?: Buffer): void {
    const { request, response } = visit;
    visit.route = route;
    visit.isReadWhole = false;
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
      headers: upstreamHeaders(head, route, peerOf(request.socket, inForce), "streamed"),
      timeoutMs: route.upstream.timeoutMs,
      owner: request.socket,
      isBound: bindsConnection(head.rawHeaders),
      mayRepeat: mayRepeat(head) && !hasBody(request),
      interim: (status: number, pairs: string[]) => sendInterim(response, status, pairs),
      ...this.#retries(route),
    };
    const end = visit.trace && traceCall(visit.trace, dispatch, publicPath(route, head.rawPath));
    passThrough(this.parts.passTo, request, response, {
      pool: this.parts.pools.forOpen(route.upstream),
      dispatch,
      body: read ?? (hasBody(request) ? "streamed" : null),
      begun: (stop) => {
        cancel = stop;
        if (hasLeft) stop();
      },
      arrived: (outcome) => {
        end?.(outcome);
        this.parts.hub.emit("upstream", { route: route.name, durationMs: performance.now() - begunMs });
        if (!hasLeft) visit.done(this.#answer(response, outcome, route, inForce, head.rawHeaders));
        else if (outcome.kind === "streamed") outcome.response.body.destroy();
      },
    });
  }

  /** What node refuses to write is a fault, not a client without an answer. */
  #answer(response: ServerResponse, outcome: Outcome, route: Route, inForce: InForce, request: HeaderPairs): Sent {
    try {
      return writeOutcome(response, outcome, route, inForce, request);
    } catch (error) {
      this.parts.hub.emit("fault", { what: "an answer cannot be written", route: route.name, error: error as Error });
      if (outcome.kind === "streamed") outcome.response.body.destroy();
      const fields = corsFields(route.cors, request);
      const { problems } = inForce.config;
      return sendUnwritable(response, { route: route.name, idempotencyKey: undefined, fields, problems });
    }
  }

  #retries({ name, upstream: { retryUnsentMs } }: Route) {
    return { retryUnsentMs, retries: () => this.parts.hub.emit("upstreamRetry", { route: name }) };
  }

  /** An upgrade to a WebSocket, octet for octet. */
  tunnel(request: IncomingMessage, socket: Duplex, head: Buffer, admission: Open, inForce: InForce): void {
    const { config, pseudonym } = inForce;
    const { route } = admission;
    const headers = upstreamHeaders(admission.head, route, peerOf(request.socket, inForce), "streamed");
    headers.push("Connection", "Upgrade", "Upgrade", "websocket");
    const trace = this.parts.tracer?.begin(tracedRequest(request));
    const { origin } = route.upstream;
    const end =
      trace && traceCall(trace, { method: "GET", origin, headers }, publicPath(route, admission.head.rawPath));
    const connect = this.parts.pools.connector(route.upstream);
    const { target } = admission.head;
    const via = `1.1 ${pseudonym}`;
    const tunnel = { upstream: route.upstream, target, headers, via, connect, ...this.#retries(route) };
    const told = tellOfUpgrade(request, route, this.parts.hub, trace);
    this.parts.tunnels.open(request, socket, head, tunnel, {
      answered: (status) => {
        end?.(status);
        told({ status, result: "unprotected" });
      },
      failed: (outcome) => {
        end?.(outcome);
        const instance = `urn:uuid:${randomUUID()}`;
        const problem = upstreamProblem(outcome);
        const document = problemDocument(problem, { instance, route: route.name }, config.problems);
        if (socket.writable) socket.end(rawProblem(document));
        told({ status: document.status, result: "error", code: problem.code, instance });
      },
    });
  }
}

/** Safe by its method, and by every field or parameter that might name another one. */
function mayRepeat({ method, overrides }: RequestHead): boolean {
  return (method === "GET" || method === "HEAD") && overrides.length === 0;
}

function writeOutcome(
  response: ServerResponse,
  outcome: Outcome,
  route: Route,
  { config, pseudonym }: InForce,
  request: HeaderPairs,
): Sent {
  switch (outcome.kind) {
    case "streamed":
      sendStream(response, outcome.response, [...outcome.response.headers, "Via", `1.1 ${pseudonym}`], {
        whenLeft: "cut",
        patienceMs: route.upstream.timeoutMs,
      });
      return { status: outcome.response.status, result: "unprotected" };
    case "answered":
      sendWhole(response, outcome.response, [...outcome.response.headers, "Via", `1.1 ${pseudonym}`]);
      return { status: outcome.response.status, result: "unprotected" };
    default: {
      const fields = corsFields(route.cors, request);
      const context = { route: route.name, idempotencyKey: undefined, fields, problems: config.problems };
      return sendProblem(response, upstreamProblem(outcome), "error", context);
    }
  }
}
