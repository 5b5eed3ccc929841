/**
 * The nouns of the gateway. Types only: whoever imports this file imports no behaviour.
 *
 * Durations are milliseconds and carry it in their name. A store reports durations left or past, never
 * instants of its own clock, so that no two clocks are ever compared; the admin view is the exception,
 * it is read by people.
 */

import type { Readable } from "node:stream";
import type { Trace } from "./trace.js";

declare const brand: unique symbol;

/** SHA-256 over (namespace, scope values, key), 64 hexadecimal digits: the only thing a store is addressed by. */
export type RecordKey = string & { readonly [brand]: "RecordKey" };

/**
 * SHA-256 over the key alone, without namespace and scope, 64 hexadecimal digits: what an operator who holds nothing but
 * a key finds its records by. Never shown; a store is never addressed by it.
 */
export type KeyHash = string & { readonly [brand]: "KeyHash" };

/** SHA-256 over what must be equal for two requests to be the same request, 64 hexadecimal digits. */
export type Fingerprint = string & { readonly [brand]: "Fingerprint" };

/**
 * Header pairs as they were on the wire, names and values alternating: order, repeats and letter case survive.
 * Octets above 0x7f are held as Latin-1, as node gives and takes them.
 */
export type HeaderPairs = readonly string[];

/** What an upstream answered, complete. */
export interface StoredResponse {
  readonly status: number;
  /** Reason phrase, `""` when there was none. */
  readonly reason: string;
  readonly headers: HeaderPairs;
  readonly body: Buffer;
  readonly trailers: HeaderPairs;
  /** W3C trace context of the execution that got it, where that was traced (`Trace.origin`). */
  readonly executedIn?: string | undefined;
}

/** A problem as the engine speaks of it; `src/problem.ts` holds the table and writes the document. */
export interface ProblemNote {
  readonly code: ProblemCode;
  readonly detail: string;
  /** Seconds for `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** For `Allow`. */
  readonly allow?: string;
}

/** How one execution ended, for every client that waited for it. */
export type Landing =
  | { readonly kind: "response"; readonly response: StoredResponse }
  | { readonly kind: "problem"; readonly problem: ProblemNote; readonly executedIn?: string | undefined };

/** Proof of ownership, random for each claim. Every verb that writes compares it inside the store's atomic step. */
export interface Lease {
  readonly key: RecordKey;
  /** 32 hexadecimal digits. */
  readonly token: string;
}

/**
 * The public half of a lease: names one execution without granting it. The first 16 digits of the token.
 */
export type FlightId = string;

/** Why nobody can know whether the upstream acted. The label `cause` of `in_doubt_total`. */
export type DoubtCause = "reset" | "timeout" | "status" | "lease_expired" | "lock_lost" | "store_lost";

export type RecordState = "in_flight" | "completed" | "in_doubt" | "not_replayable";

/** The store's answer to the one question it is asked. */
export type Claim =
  /** The caller owns the record. `taken` is why the record was in doubt before, or `null`; `attempts` counts this one. */
  | {
      readonly kind: "won";
      readonly attempts: number;
      readonly taken: DoubtCause | null;
      /** Only when taken: this very claim found the lease run out, nobody was told `inDoubt` with `expired` before. */
      readonly expired?: boolean;
    }
  /** Somebody else owns it. `remainingMs` is what is left of the lease, at least 0. */
  | {
      readonly kind: "held";
      readonly fingerprint: Fingerprint;
      readonly flight: FlightId;
      readonly remainingMs: number;
    }
  | {
      readonly kind: "done";
      readonly fingerprint: Fingerprint;
      readonly response: StoredResponse;
      /** Since the response was stored. */
      readonly ageMs: number;
      /** What is left of its retention, at least 0. */
      readonly remainingMs: number;
      /** The same response as it lies in the store (`store/codec.ts`), where the store has it at hand. */
      readonly blob?: Buffer;
    }
  /** `expired` tells that this very claim found the lease run out: the moment to count it, once. */
  | {
      readonly kind: "inDoubt";
      readonly fingerprint: Fingerprint;
      readonly cause: DoubtCause;
      readonly expired: boolean;
    }
  | {
      readonly kind: "notReplayable";
      readonly fingerprint: Fingerprint;
      readonly status: number;
    }
  /** Only to a caller that named a flight in `after`: that flight is over, and this is how it landed. */
  | {
      readonly kind: "landed";
      readonly fingerprint: Fingerprint;
      readonly landing: Landing;
    };

/** A response that is passed on while it arrives: too large to keep, or a stream by its media type. */
export interface StreamedResponse {
  readonly status: number;
  readonly reason: string;
  readonly headers: HeaderPairs;
  readonly body: StreamedBody;
  /** Filled when `body` has ended. */
  readonly trailers?: HeaderPairs;
}

/** The parts of a streamed response: what has arrived, then what is still to come. Paused until a client reads it. */
export interface StreamedBody extends Readable {
  /** How the upstream's side of it ended, however far a client has read. Never rejects. */
  readonly ended: Promise<StreamEnd>;
  /** For a stream without a client: the rest is read and dropped, within bounds of time and size. */
  readOn(): void;
}

/** Only a stream that ended whole is an answer: of a torn one the upstream may have done any part. */
export type StreamEnd =
  | { readonly kind: "whole" }
  | { readonly kind: "torn"; readonly error: Error; readonly cause: "reset" | "timeout" };

/** What the upstream did, by phase and not by status alone. */
export type Outcome =
  | { readonly kind: "answered"; readonly response: StoredResponse }
  | { readonly kind: "streamed"; readonly response: StreamedResponse }
  /** Nothing can have happened: no byte of the request was written. `isLate`: its lease would not have lasted. */
  | { readonly kind: "unsent"; readonly error: Error; readonly isLate?: true }
  /** Something may have happened. */
  | { readonly kind: "unanswered"; readonly error: Error; readonly cause: "reset" | "timeout" };

export type ProblemCode =
  | "no-route"
  | "request-ambiguous"
  | "loop-detected"
  | "headers-too-many"
  | "key-missing"
  | "key-invalid"
  | "key-expired"
  | "scope-missing"
  | "body-too-large"
  | "overloaded"
  | "key-reused"
  | "in-progress"
  | "outcome-unknown"
  | "response-not-stored"
  | "store-unavailable"
  | "upstream-unreachable"
  | "upstream-reset"
  | "upstream-timeout"
  | "internal"
  | "unauthorized"
  | "forbidden"
  | "not-found"
  | "method-not-allowed"
  | "record-in-flight"
  | "record-not-in-doubt"
  | "record-changed"
  | "request-invalid";

/** Where a value of the request is read, as `header:NAME`, `cookie:NAME` and the like are compiled. */
export type Source =
  | { readonly from: "header"; readonly name: string }
  | { readonly from: "query"; readonly name: string }
  | { readonly from: "path"; readonly name: string }
  | { readonly from: "cookie"; readonly name: string }
  /** A field of an urlencoded form. */
  | { readonly from: "form"; readonly name: string }
  /** Reference tokens of an RFC 6901 pointer, unescaped. */
  | { readonly from: "body"; readonly pointer: readonly string[] };

export type ScopeSource = (
  | Source
  /** The caller's credential, and the virtual host where the route names none. */
  | { readonly from: "client"; readonly withHost: boolean }
  | { readonly from: "host" }
) & { readonly optional: boolean };

/** Keys may not be older than `maxAgeMs`, unless their record exists. */
export interface KeyAge {
  readonly maxAgeMs: number;
  /** The header that tells when the key was born, in lower case; `null`: the key itself does. */
  readonly header: string | null;
}

/** A compiled rule: what it matches, where it forwards to, its policy. Frozen; a reload makes new ones. */
export interface Route {
  readonly name: string;
  readonly match: {
    /** `null`: every method. */
    readonly methods: ReadonlySet<string> | null;
    /** Lower case, without port; `null`: every host. */
    readonly host: string | null;
    /** As written: `/v1/payments`, `/v1/orders/:id`, `/v1/*`. */
    readonly path: string;
    readonly caseSensitive: boolean;
    /** Of paths with `%2f`, `%5c` or `//`. `auto`: passed on by a route that protects nothing. */
    readonly ambiguousPaths: "auto" | "reject" | "forward";
  };
  readonly upstream: Upstream;
  /** `null`: nothing is said. */
  readonly cors: Cors | null;
  /** `null`: streamed through untouched. */
  readonly policy: Policy | null;
}

/** Which pages may read what the gateway answers by itself. */
export interface Cors {
  /** Serialised origins, as `Origin` has them. */
  readonly origins: ReadonlySet<string> | "any";
  readonly credentials: boolean;
}

export interface Upstream {
  /** Scheme, host and port; no path. */
  readonly origin: string;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  /** At once, of protected and of other requests each. */
  readonly connections: number;
  /** How long an idle connection is kept; 0: a connection for each request. */
  readonly keepAliveMs: number;
  /** While nothing was sent, it is tried again for so long. */
  readonly retryUnsentMs: number;
  readonly preserveHost: boolean;
  /** PEM texts. Where it is `null` the URL's host and the well-known authorities count. */
  readonly tls: {
    readonly serverName: string | null;
    readonly ca: string | null;
    readonly cert: string | null;
    readonly key: string | null;
  } | null;
}

export interface Policy {
  readonly key: {
    /** More than one: the values of all of them, framed; or, with `isFirstOf`, the first that is there. */
    readonly sources: readonly Source[];
    readonly isFirstOf: boolean;
    readonly required: boolean;
    readonly maxLength: number;
    readonly pattern: RegExp;
    /** Only a structured-field string (RFC 9651 §3.3.3) is a key. */
    readonly strict: boolean;
    readonly forward: boolean;
    readonly age: KeyAge | null;
  };
  readonly scope: readonly ScopeSource[];
  readonly namespace: string;
  readonly fingerprint: {
    readonly body: "bytes" | "json" | "none";
    readonly ignore: readonly (readonly string[])[];
    /** Lower case. */
    readonly headers: readonly string[];
    /** `false`: not compared; names of parameters that are not. */
    readonly query: boolean | { readonly ignore: readonly string[] };
  };
  readonly concurrency: "wait" | "reject";
  readonly waitTimeoutMs: number;
  readonly maxWaiters: number;
  readonly leaseMs: number;
  readonly retentionMs: number;
  /** How long what is open is held; never less than `retentionMs`. */
  readonly inDoubtRetentionMs: number;
  readonly outcomes: Outcomes;
  readonly inDoubt: "hold" | "retry" | "probe";
  readonly probe: Probe | null;
  readonly storeUnavailable: "reject" | "bypass";
  readonly maxStoredBytes: number;
  /** Media types of responses that are passed on part by part, as they were written. */
  readonly streamTypes: readonly string[];
  /** Matches a `Content-Type` of one of `streamTypes`. */
  readonly streamPattern: RegExp;
  /** Lower case. */
  readonly omitHeaders: ReadonlySet<string>;
  readonly replayHeader: string;
  readonly mode: "enforce" | "observe";
}

/** What an answer of the upstream says. What neither a rule nor a set names is final. */
export interface Outcomes {
  /** The first that fits decides, before the sets do. */
  readonly when: readonly OutcomeRule[];
  readonly release: ReadonlySet<number>;
  readonly unknown: ReadonlySet<number>;
}

/** All that it names must fit. */
export interface OutcomeRule {
  /** `null`: any. */
  readonly status: ReadonlySet<number> | null;
  /** A field of the header or the trailers, in lower case, or a place in a JSON body; `null`: the status alone. */
  readonly at: { readonly header: string } | { readonly body: readonly string[] } | null;
  /** What is there must be this text; `null`: anything. */
  readonly equals: string | null;
  /** `false`: nothing may be there. */
  readonly isPresent: boolean;
  readonly verdict: AnswerVerdict;
}

export type AnswerVerdict = "release" | "unknown" | "final";

/** How the upstream is asked whether a request in doubt has happened. */
export interface Probe {
  readonly method: string;
  /** With `{key}`, `{path.NAME}`, `{body:/pointer}` still in it. */
  readonly url: string;
  readonly done: ReadonlySet<number>;
  readonly notDone: ReadonlySet<number>;
}

/** One request as the engine sees it. */
export interface Attempt {
  readonly route: Route;
  readonly policy: Policy;
  readonly key: RecordKey;
  readonly keyHash: KeyHash;
  readonly fingerprint: Fingerprint;
  /** The key is too old to begin a record: it finds one, or is refused (`key.maxAge`). */
  readonly mustExist?: boolean | undefined;
  /** Where tracing is on. */
  readonly trace?: Trace | undefined;
}
