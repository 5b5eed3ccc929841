/**
 * What happens, for whoever wants to count, log or trace it. The request path only publishes; metrics and logs
 * subscribe (`src/observe`). A listener must not throw and must not keep what it is given.
 */
import type { DoubtCause, ProblemCode } from "./model.js";
import type { Trace } from "./trace.js";

/** How a request ended, as the label `result` of `requests_total`. */
export type Result =
  | "executed"
  | "replayed"
  | "shared"
  | "mismatch"
  | "in_progress"
  | "outcome_unknown"
  | "rejected"
  | "bypassed"
  | "unprotected"
  | "error";

/** What `mode: observe` would have done instead of forwarding. */
export type Would = "replay" | "wait" | "mismatch" | "outcome_unknown" | "response_not_stored" | "reject";

export interface Events {
  /** One per request, when its answer was handed to the socket or the client is gone. */
  request: {
    readonly route: string | null;
    readonly result: Result;
    readonly method: string;
    /** Without the query: that may hold keys. The route's pattern where the path does (`rules/public-path.ts`). */
    readonly path: string;
    readonly status: number;
    readonly durationMs: number;
    /** First 8 digits of the record id. */
    readonly key: string | undefined;
    readonly code: ProblemCode | undefined;
    /** `urn:uuid:…` of the problem document. */
    readonly instance: string | undefined;
    readonly clientAddress: string | undefined;
    readonly traceparent: string | undefined;
    readonly hungUp: boolean;
    /** Of a request that reached the engine: from its body's last byte to its answer, less the upstream's and waiting. */
    readonly overheadMs?: number | undefined;
    /** The path that its route matches. */
    readonly pattern?: string | undefined;
    readonly trace?: Trace | undefined;
  };
  /** An upstream call of either lane is over. */
  upstream: { readonly route: string; readonly durationMs: number };
  /** Nothing was sent, or nothing of an answer came back and nothing can have happened: it is sent once more. */
  upstreamRetry: { readonly route: string };
  flightBegun: { readonly route: string; readonly key?: string };
  flightEnded: { readonly route: string };
  /** A request came for a response that was stored this long ago. */
  duplicate: { readonly route: string; readonly ageMs: number };
  waiting: { readonly route: string };
  waited: { readonly route: string; readonly durationMs: number };
  inDoubt: { readonly route: string; readonly cause: DoubtCause; readonly key: string };
  leaseLost: { readonly route: string; readonly key: string };
  /** Something in the background went wrong that an operator must see: logged as an error with this text. */
  fault: { readonly what: string; readonly route?: string; readonly key?: string; readonly error?: Error };
  observed: { readonly route: string; readonly would: Would };
  /** A request came whose scope may not identify the client, or may be another one in each retry (`ScopeReading.isUncertain`). */
  scopeUncertain: { readonly route: string };
  store: { readonly operation: string; readonly durationMs: number; readonly failed: boolean };
  reload: { readonly result: "success" | "failure" };
  /** An operator's write through the admin port. */
  audit: {
    readonly who: string;
    readonly action: string;
    readonly key: string;
    readonly result: string;
    /** In the operator's words, where they gave one. */
    readonly reason?: string;
  };
}

type Listener<T> = (event: T) => void;

/** Typed channels, called in order of subscription. */
export class EventHub {
  readonly #listeners = new Map<keyof Events, Listener<never>[]>();

  on<K extends keyof Events>(name: K, listener: Listener<Events[K]>): void {
    const known = this.#listeners.get(name);
    if (known) known.push(listener as Listener<never>);
    else this.#listeners.set(name, [listener as Listener<never>]);
  }

  emit<K extends keyof Events>(name: K, event: Events[K]): void {
    const listeners = this.#listeners.get(name);
    if (listeners === undefined) return;
    for (const listener of listeners as Listener<Events[K]>[]) listener(event);
  }
}
