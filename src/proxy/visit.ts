import type { IncomingMessage, ServerResponse } from "node:http";
import type { EventHub, Result } from "../events.js";
import type { Route } from "../model.js";
import { headerValue } from "../rules/headers.js";
import { publicPath } from "../rules/public-path.js";
import type { Trace } from "../trace.js";
import type { Turn } from "./client-connection.js";
import type { Sent } from "./reply.js";

/** What logs show for a client that left without an answer, as nginx does. */
const clientClosed = 499;

/** A request as far as logs and counts are concerned. */
export interface Asked {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly clientAddress: string | undefined;
}

/** One request at the traffic port, from its arrival to its one line in the log. */
export class Visit {
  readonly #startedMs = performance.now();
  #sent: Sent | undefined;
  #isClosed = false;
  #isWhole = false;
  #isTold = false;
  /** Who takes it, as far as it is known yet. */
  route: Route | null = null;
  /** First digits of the record id. */
  key: string | undefined;
  /** Part of its time that is neither the upstream's nor waiting, once it is known. */
  overheadMs: number | undefined;
  /** The client left before its answer was complete. Returns what to count it as, or nothing if `done` is still to come. */
  onHangUp: () => Result | undefined = () => "rejected";

  constructor(
    readonly asked: Asked,
    private readonly hub: EventHub,
    public trace?: Trace,
  ) {}

  /** Called once nothing more is written to the client, if set before. */
  onClosed: (() => void) | undefined;

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What was, or is being, put on the wire. */
  done(sent: Sent): void {
    this.#sent = sent;
    if (this.#isClosed) this.#tell(sent);
  }

  /** Nothing more is written to the client. `isWhole`: its answer was handed to the system to the end. */
  closed(isWhole: boolean): void {
    this.#isClosed = true;
    this.onClosed?.();
    this.#isWhole = isWhole;
    if (isWhole) {
      // An answer may be on the wire before whoever wrote it can say what it was.
      if (this.#sent !== undefined) this.#tell(this.#sent);
      return;
    }
    const result = this.onHangUp();
    if (this.#sent !== undefined) this.#tell(this.#sent);
    else if (result !== undefined) this.#tell({ status: clientClosed, result });
  }

  #tell(sent: Sent): void {
    if (this.#isTold) return;
    this.#isTold = true;
    const { method, target, rawHeaders, clientAddress } = this.asked;
    const mark = target.indexOf("?");
    const path = mark < 0 ? target : target.slice(0, mark);
    this.hub.emit("request", {
      route: this.route?.name ?? null,
      result: sent.result,
      method,
      path: this.route === null ? path : publicPath(this.route, path),
      status: sent.status,
      durationMs: performance.now() - this.#startedMs,
      key: this.key,
      code: sent.code,
      instance: sent.instance,
      clientAddress,
      traceparent: headerValue(rawHeaders, "traceparent"),
      hungUp: !this.#isWhole,
      overheadMs: this.overheadMs,
      pattern: this.route?.match.path,
      trace: this.trace,
    });
  }
}

/** A visit that node's server handles: with a request that is still to be read, and a response. */
export class FullVisit extends Visit {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  #mustContinue: boolean;

  constructor(
    private readonly turn: Turn,
    hub: EventHub,
    trace?: Trace,
  ) {
    const { request, response } = turn;
    const { socket, rawHeaders } = request;
    // Noted now: method and target are hidden from fastify later, and the address may be gone by the time this is told.
    const asked = { method: request.method ?? "", target: request.url ?? "", rawHeaders };
    super({ ...asked, clientAddress: socket.remoteAddress }, hub, trace);
    this.request = request;
    this.response = response;
    this.#mustContinue = turn.mustContinue;
    let isWhole = false;
    // Node says `finish` of an answer that was cut off, too.
    response.on("finish", () => {
      isWhole = !socket.destroyed;
    });
    response.on("close", () => this.closed(isWhole));
    // A write to a client that is gone; its leaving is told by `close`.
    response.on("error", () => {});
  }

  /** Its body is wanted whole: all of it has one time limit, and not only a silence in it. */
  set isReadWhole(isWhole: boolean) {
    this.turn.isReadWhole = isWhole;
  }

  /** The client may send its body, should it wait for that to be said (`Expect: 100-continue`). */
  letContinue(): void {
    if (!this.#mustContinue) return;
    this.#mustContinue = false;
    this.response.writeContinue();
    // From here on nobody is waiting: what is left of the body is on its way.
    delete this.request.headers.expect;
  }
}

/** The same for an upgrade, which has no response object: returns what to call with how it was answered. */
export function tellOfUpgrade(
  request: IncomingMessage,
  route: Route,
  hub: EventHub,
  trace?: Trace,
): (sent: Sent) => void {
  const startedMs = performance.now();
  const path = (request.url ?? "").split("?", 1)[0] ?? "";
  const clientAddress = request.socket.remoteAddress;
  let isTold = false;
  return (sent) => {
    if (isTold) return;
    isTold = true;
    hub.emit("request", {
      route: route.name,
      result: sent.result,
      method: request.method ?? "",
      path: publicPath(route, path),
      status: sent.status,
      durationMs: performance.now() - startedMs,
      key: undefined,
      code: sent.code,
      instance: sent.instance,
      clientAddress,
      traceparent: headerValue(request.rawHeaders, "traceparent"),
      hungUp: false,
      pattern: route.match.path,
      trace,
    });
  };
}
