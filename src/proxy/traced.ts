/** Where the proxy's own words become those of a trace. Nothing here is called while tracing is off. */
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import type { Answer } from "../engine/answer.js";
import type { Outcome } from "../model.js";
import type { Trace, TracedRequest } from "../trace.js";
import type { Dispatch } from "./exchange.js";
import { carryTraceparent } from "./traceparent.js";

export function tracedRequest({ rawHeaders, httpVersion, socket }: IncomingMessage): TracedRequest {
  return { rawHeaders, httpVersion, isSecure: (socket as TLSSocket).encrypted === true };
}

/**
 * Begins the span of a call and makes it the upstream's parent. Returns what to call with how the call ended: a status
 * or an outcome. `path`: of the call, as logs may show it; a probe has none, the key may be in it.
 */
export function traceCall(
  trace: Trace,
  { method, origin, headers }: Pick<Dispatch, "method" | "origin" | "headers">,
  path?: string,
): (ended: number | Outcome) => void {
  const call = trace.call({ method, origin, path, isProbe: path === undefined });
  carryTraceparent(headers, call.traceparent);
  return (ended) => call.end(typeof ended === "number" ? ended : endingOf(ended));
}

/** A replay or a shared answer is linked to the execution it comes from. */
export function traceAnswer(trace: Trace, answer: Answer): void {
  const response = answer.kind === "response" && answer.repeated ? answer.response : undefined;
  const origin = answer.kind === "problem" ? answer.executedIn : response?.executedIn;
  if (origin !== undefined) trace.repeats(origin);
}

function endingOf(outcome: Outcome): number | string {
  switch (outcome.kind) {
    case "answered":
    case "streamed":
      return outcome.response.status;
    case "unsent":
      return (outcome.error as NodeJS.ErrnoException).code ?? outcome.error.name;
    case "unanswered":
      return outcome.cause;
  }
}
