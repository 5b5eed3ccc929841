/**
 * What a request's way tells of itself where tracing is on; elsewhere there is no `Trace` at all and nothing is paid.
 * Nobody who calls this knows what a span is: `src/observe` makes them. No member throws.
 */

/** Begins a trace for each request at the traffic port. It is ended by the event `request`. */
export interface Tracer {
  begin(request: TracedRequest): Trace;
}

export interface TracedRequest {
  /** As received: names and values alternating. */
  readonly rawHeaders: readonly string[];
  readonly httpVersion: string;
  readonly isSecure: boolean;
}

/** One request's trace. */
export interface Trace {
  readonly traceId: string;
  readonly spanId: string;
  /**
   * The W3C trace context that a record keeps of its execution, so that whoever is given its answer later can be linked
   * to it. `undefined` where the sampler left this request out.
   */
  readonly origin: string | undefined;
  /** A store is asked. Returns what to call with its answer in one word; what is never called is never told. */
  ask(verb: string): (answer: string, failed: boolean) => void;
  /** An upstream is called. */
  call(call: TracedCall): CallTrace;
  /** This request has waited so long, until now, for another one's result. */
  waited(durationMs: number): void;
  /** Its answer is that of another execution, with this `origin`. */
  repeats(origin: string): void;
}

export interface TracedCall {
  readonly method: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** Without the query, and without what is secret in it; `undefined` where nobody can tell. */
  readonly path: string | undefined;
  readonly isProbe: boolean;
}

export interface CallTrace {
  /** What the upstream gets as `traceparent`. */
  readonly traceparent: string;
  /** With the status that was answered, or with what went wrong, as a word. Called once. */
  end(ended: number | string): void;
}
