import {
  type Attributes,
  type Context,
  createTraceState,
  type Tracer as OtelTracer,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace as traces,
} from "@opentelemetry/api";
import type { EventHub, Events } from "../events.js";
import { headerValue, headerValues } from "../rules/headers.js";
import { receivedTraceparent } from "../rules/request-headers.js";
import type { CallTrace, Trace, TracedCall, TracedRequest, Tracer } from "../trace.js";

const maxPathLength = 1024;

/** What HTTP's semantic conventions know; any other is `_OTHER`, so that nobody can make up span names. */
const knownMethods = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]);

/**
 * Spans after the semantic conventions for HTTP: one for the request, and below it one for each question to the store
 * that belongs to it, for waiting, and for each call upstream.
 */
export function requestTracer(otel: OtelTracer, hub: EventHub): Tracer {
  hub.on("request", (event) => {
    if (event.trace instanceof RequestTrace) event.trace.end(event);
  });
  return { begin: (request) => new RequestTrace(otel, request) };
}

class RequestTrace implements Trace {
  readonly traceId: string;
  readonly spanId: string;
  readonly origin: string | undefined;
  readonly #span: Span;
  readonly #within: Context;

  constructor(
    private readonly otel: OtelTracer,
    { rawHeaders, httpVersion, isSecure }: TracedRequest,
  ) {
    const attributes = {
      "url.scheme": isSecure ? "https" : "http",
      "network.protocol.version": httpVersion,
      ...addressOf(headerValue(rawHeaders, "host") ?? ""),
    };
    this.#span = otel.startSpan("HTTP", { kind: SpanKind.SERVER, attributes }, parentOf(rawHeaders));
    this.#within = traces.setSpan(ROOT_CONTEXT, this.#span);
    const context = this.#span.spanContext();
    this.traceId = context.traceId;
    this.spanId = context.spanId;
    this.origin =
      this.#span.isRecording() && context.traceFlags & TraceFlags.SAMPLED ? traceparentOf(context) : undefined;
  }

  ask(verb: string): (answer: string, failed: boolean) => void {
    const span = this.otel.startSpan(verb, { kind: SpanKind.INTERNAL }, this.#within);
    return (answer, failed) => {
      if (failed) fail(span, answer);
      else span.setAttribute("idempotency_gateway.answer", answer);
      span.end();
    };
  }

  call({ method, origin, path, isProbe }: TracedCall): CallTrace {
    const attributes = {
      ...methodOf(method),
      ...addressOf(hostOf(origin)),
      "url.full": path === undefined ? origin : origin + path.slice(0, maxPathLength),
      ...(isProbe ? { "idempotency_gateway.probe": true } : {}),
    };
    const span = this.otel.startSpan(nameOf(method), { kind: SpanKind.CLIENT, attributes }, this.#within);
    return {
      traceparent: traceparentOf(span.spanContext()),
      end(ended) {
        if (typeof ended === "number") span.setAttribute("http.response.status_code", ended);
        // To the caller anything from 400 on is an error, to the server only its own.
        if (typeof ended === "string" || ended >= 400) fail(span, String(ended));
        span.end();
      },
    };
  }

  waited(durationMs: number): void {
    const endedAtMs = Date.now();
    const startTime = endedAtMs - durationMs;
    this.otel.startSpan("wait", { kind: SpanKind.INTERNAL, startTime }, this.#within).end(endedAtMs);
  }

  repeats(origin: string): void {
    const context = contextOf(origin);
    if (context !== undefined) this.#span.addLink({ context, attributes: { "idempotency_gateway.link": "execution" } });
  }

  end(event: Events["request"]): void {
    const { status, pattern } = event;
    this.#span.updateName(pattern === undefined ? nameOf(event.method) : `${nameOf(event.method)} ${pattern}`);
    this.#span.setAttributes({
      ...methodOf(event.method),
      "url.path": event.path.slice(0, maxPathLength),
      "http.route": pattern,
      "http.response.status_code": status,
      "client.address": event.clientAddress,
      "idempotency_gateway.result": event.result,
      "idempotency_gateway.route": event.route ?? undefined,
      "idempotency_gateway.record": event.key?.slice(0, 8),
      "idempotency_gateway.problem": event.code,
      "idempotency_gateway.hung_up": event.hungUp ? true : undefined,
    });
    if (status >= 500) fail(this.#span, event.code ?? String(status));
    this.#span.end();
  }
}

function fail(span: Span, errorType: string): void {
  span.setAttribute("error.type", errorType);
  span.setStatus({ code: SpanStatusCode.ERROR });
}

function nameOf(method: string): string {
  return knownMethods.has(method) ? method : "HTTP";
}

function methodOf(method: string): Attributes {
  if (knownMethods.has(method)) return { "http.request.method": method };
  return { "http.request.method": "_OTHER", "http.request.method_original": method.slice(0, 32) };
}

/** `host`, `host:port`, `[::1]:port`. Nothing of what is not so: it is the client's to choose. */
function addressOf(authority: string): Attributes {
  const [, address, port] = /^(\[[\da-f:.]+\]|[\w.-]{1,253})(?::(\d{1,5}))?$/i.exec(authority) ?? [];
  if (address === undefined) return {};
  return { "server.address": address, ...(port === undefined ? {} : { "server.port": Number(port) }) };
}

function hostOf(origin: string): string {
  return origin.slice(origin.indexOf("://") + 3);
}

function parentOf(rawHeaders: readonly string[]): Context {
  const context = contextOf(receivedTraceparent(rawHeaders) ?? "");
  if (context === undefined) return ROOT_CONTEXT;
  const state = headerValues(rawHeaders, "tracestate").join(",");
  const traceState = state === "" ? {} : { traceState: createTraceState(state) };
  return traces.setSpanContext(ROOT_CONTEXT, { ...context, ...traceState });
}

/** A valid W3C `traceparent`; what a record holds may have come from anybody who could write there. */
function contextOf(traceparent: string): SpanContext | undefined {
  const [, traceId = "", spanId = "", flags = "00"] =
    /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})/.exec(traceparent) ?? [];
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return traces.isSpanContextValid(context) ? context : undefined;
}

function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}
