import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Config } from "../config/config.js";
import type { ProblemTypes } from "../problem.js";
import { corsFields } from "../rules/cors.js";
import { readinessOf } from "../rules/readiness.js";
import type { Turn } from "./client-connection.js";
import { admit, type Own, type Refused } from "./gate.js";
import { type InForce, inForceFrom, type LaneParts } from "./in-force.js";
import { OpenLane } from "./open-lane.js";
import { ownPage } from "./own-pages.js";
import { PlainLane } from "./plain/plain-lane.js";
import { ProtectedLane } from "./protected-lane.js";
import { sendProblem } from "./reply.js";
import type { Lanes, PlainDoor } from "./server.js";
import { tracedRequest } from "./traced.js";
import { isWebSocket, withoutUpgrade } from "./upgrade.js";
import { FullVisit } from "./visit.js";

/**
 * Where a request goes: refused by the gate, streamed through, or read, identified and given to the engine. Every way
 * ends in one `visit.done`.
 */
export class TrafficLanes implements Lanes {
  #inForce: InForce;
  readonly #openLane: OpenLane;
  readonly #protectedLane: ProtectedLane;

  constructor(
    private readonly parts: LaneParts,
    config: Config,
  ) {
    this.#openLane = new OpenLane(parts);
    this.#protectedLane = new ProtectedLane(parts, {
      open: (...request) => this.#openLane.stream(...request),
      refuse: (...request) => this.#refuse(...request),
    });
    this.#inForce = inForceFrom(config);
  }

  plain(leave: (socket: Socket, octets: Buffer) => void): PlainDoor {
    return new PlainLane(this.parts, () => this.#inForce, leave);
  }

  get problems(): ProblemTypes {
    return this.#inForce.config.problems;
  }

  apply(config: Config): void {
    this.#inForce = inForceFrom(config);
    this.parts.pools.keepOnly(config.routes.map((route) => route.upstream));
  }

  request(turn: Turn): void {
    const { request } = turn;
    const inForce = this.#inForce;
    const trace = this.parts.tracer?.begin(tracedRequest(request));
    const visit = new FullVisit(turn, this.parts.hub, trace);
    const admission = admit(inForce, request);
    if (admission.kind === "guarded") this.#protectedLane.take(visit, inForce, admission);
    else if (admission.kind === "open") this.#openLane.stream(visit, inForce, admission);
    else if (admission.kind === "own") this.#answer(visit, inForce, admission);
    else this.#refuse(visit, inForce, admission);
  }

  upgrade(giveBack: (bytes: Buffer) => void, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const admission = isWebSocket(request) ? admit(this.#inForce, request) : undefined;
    if (admission?.kind !== "open") {
      giveBack(withoutUpgrade(request, head));
      return;
    }
    this.#openLane.tunnel(request, socket, head, admission, this.#inForce);
  }

  #answer(visit: FullVisit, { policy }: InForce, own: Own): void {
    const { status, headers, body } = ownPage(own, policy, () => readinessOf(this.parts.readiness));
    visit.request.resume();
    visit.response.writeHead(status, headers).end(body);
    visit.done({ status, result: "unprotected" });
  }

  /** `mode: observe` refuses nothing that can be forwarded: it counts, and lets the request through. */
  #refuse(visit: FullVisit, inForce: InForce, refused: Refused, body?: Buffer): void {
    const { route, head, problem, rawKey, recordKey } = refused;
    visit.route = route;
    if (route?.policy?.mode === "observe" && head !== undefined) {
      this.parts.hub.emit("observed", { route: route.name, would: "reject" });
      this.#openLane.stream(visit, inForce, { kind: "open", route, head }, body);
      return;
    }
    const fields = corsFields(route?.cors ?? null, visit.request.rawHeaders, route?.policy?.replayHeader);
    const { problems } = inForce.config;
    const context = { route: route?.name ?? null, idempotencyKey: rawKey, recordKey, fields, problems };
    visit.done(sendProblem(visit.response, problem, "rejected", context));
  }
}
