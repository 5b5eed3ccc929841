/** One key's life, as it was planned and as it came out. Times are milliseconds since the run began, of one clock. */
export interface History {
  /** Its own name. */
  readonly key: string;
  /** What was sent as `Idempotency-Key`: two tenants may use the same one. */
  readonly sentKey: string;
  /** Whose key it is: the scope. */
  readonly tenant: string;
  readonly route: RouteKind;
  readonly store: StoreKind;
  /** A claim that the store forgets while it runs is still guarded by a lock. */
  readonly hasLocks: boolean;
  readonly requests: Asked[];
  /** The upstream's own journal: every request with this key that reached it whole, in order of arrival. */
  readonly dispatches: Dispatch[];
  /** What was done to the gateways, the store and the upstream while the key lived. */
  readonly faults: readonly Fault[];
  /** What was found when everything was whole again and every lease was over. */
  ending: Ending | undefined;
}

/** What the route says of a record in doubt. */
export type RouteKind = "hold" | "retry" | "probe";
export type StoreKind = "embedded" | "redis";
/** Requests with one key and two bodies are two requests, whatever the key says. */
export type Variant = "A" | "B";

export interface Asked {
  readonly client: string;
  readonly gateway: number;
  readonly variant: Variant;
  readonly atMs: number;
  readonly endedAtMs: number;
  readonly result: AnswerSeen | { readonly kind: "nothing"; readonly why: string };
}

export interface AnswerSeen {
  readonly kind: "answer";
  readonly status: number;
  /** Of a problem document. */
  readonly code: string | undefined;
  readonly isReplayed: boolean;
  /** Given by the store: the record was completed. */
  readonly hasAge: boolean;
  /** Which dispatch the upstream says it was, `n` of `Dispatch`; `null` where it was not the upstream that answered. */
  readonly dispatch: number | null;
  readonly body: string;
}

export interface Dispatch {
  /** 1 for the first. */
  readonly n: number;
  readonly variant: Variant;
  readonly atMs: number;
  readonly behaviour: string;
  /** What the upstream answers, or would have. */
  readonly status: number;
  readonly body: string;
  /** `false`: it broke off before it did anything. */
  readonly isExecuted: boolean;
  /** When the last byte of the answer was handed to the kernel; `null`: never. */
  answeredAtMs: number | null;
  /** When the exchange was over, answered or not; `null`: not yet. */
  endedAtMs: number | null;
}

export interface Fault {
  readonly kind: string;
  /** Which gateway; `null`: the store or the upstream. */
  readonly gateway: number | null;
  readonly fromMs: number;
  readonly toMs: number;
}

export type EndState = "absent" | "in_flight" | "completed" | "in_doubt" | "not_replayable";

export interface Ending {
  readonly atMs: number;
  readonly state: EndState;
  /** Why it is in doubt, as the record says. */
  readonly cause: string | null;
  /** How many dispatches the journal had by then. */
  readonly dispatches: number;
  /** The request that was sent then, with the body the record belongs to. */
  readonly retry: AnswerSeen | undefined;
  /** The operator's decision on what was still in doubt, and the request that was sent after it. */
  readonly resolved:
    | { readonly outcome: "done" | "not-done"; readonly atMs: number; readonly retry: AnswerSeen | undefined }
    | undefined;
}

/** As the routes of the rig have it. */
export const releaseStatuses: ReadonlySet<number> = new Set([
  307, 308, 401, 403, 407, 408, 421, 425, 429, 521, 523, 525, 526, 530,
]);
export const unknownStatuses: ReadonlySet<number> = new Set([
  460, 499, 502, 503, 504, 520, 522, 524, 527, 561, 598, 599,
]);
