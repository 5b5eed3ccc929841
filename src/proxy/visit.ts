import type { IncomingMessage, ServerResponse } from "node:http";
import type { EventHub, Result } from "../events.js";
import type { Route } from "../model.js";
import { headerValue } from "../rules/headers.js";
import { publicPath } from "../rules/public-path.js";
import type { Trace } from "../trace.js";
import type { Sent } from "./reply.js";

/** What logs show for a client that left without an answer, as nginx does. */
const clientClosed = 499;

/** One request at the traffic port, from its arrival to its one line in the log. */
export class Visit {
  readonly method: string;
  readonly #startedMs = performance.now();
  readonly #target: string;
  readonly #clientAddress: string | undefined;
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
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
    private readonly hub: EventHub,
    private mustContinue: boolean,
    readonly trace?: Trace,
  ) {
    this.method = request.method ?? "";
    this.#target = request.url ?? "";
    const { socket } = request;
    // It may be gone by the time this is told.
    this.#clientAddress = socket.remoteAddress;
    // Node says `finish` of an answer that was cut off, too.
    response.on("finish", () => {
      this.#isWhole = !socket.destroyed;
    });
    response.on("close", () => this.#close());
    // A write to a client that is gone; its leaving is told by `close`.
    response.on("error", () => {});
  }

  /** The client may send its body, should it wait for that to be said (`Expect: 100-continue`). */
  letContinue(): void {
    if (!this.mustContinue) return;
    this.mustContinue = false;
    this.response.writeContinue();
    // From here on nobody is waiting: what is left of the body is on its way.
    delete this.request.headers.expect;
  }

  /** What was, or is being, put on the wire. */
  done(sent: Sent): void {
    this.#sent = sent;
    if (this.#isClosed) this.#tell(sent);
  }

  #close(): void {
    this.#isClosed = true;
    if (this.#isWhole && this.#sent !== undefined) return this.#tell(this.#sent);
    const result = this.onHangUp();
    if (this.#sent !== undefined) this.#tell(this.#sent);
    else if (result !== undefined) this.#tell({ status: clientClosed, result });
  }

  #tell(sent: Sent): void {
    if (this.#isTold) return;
    this.#isTold = true;
    const path = this.#target.split("?", 1)[0] ?? "";
    this.hub.emit("request", {
      route: this.route?.name ?? null,
      result: sent.result,
      method: this.method,
      path: this.route === null ? path : publicPath(this.route, path),
      status: sent.status,
      durationMs: performance.now() - this.#startedMs,
      key: this.key,
      code: sent.code,
      instance: sent.instance,
      clientAddress: this.#clientAddress,
      traceparent: headerValue(this.request.rawHeaders, "traceparent"),
      hungUp: !this.#isWhole,
      overheadMs: this.overheadMs,
      pattern: this.route?.match.path,
      trace: this.trace,
    });
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
