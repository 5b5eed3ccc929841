import type { Claim, DoubtCause, Fingerprint, RecordState } from "../../model.js";
import type { DoubtCount, ListQuery, RecordView, Seen, Swept } from "../record-store.js";
import type { Skew } from "./store-clock.js";

export type Role = "writer" | "reader" | "checker";

/** What a thread is started with. */
export interface ThreadStart {
  readonly role: Role;
  readonly path: string;
  /** Counted up, and notified, when commands have been posted. */
  readonly signal: Int32Array;
  /** Of all threads of the store in this process, see `shared`. */
  readonly shared: Int32Array;
  readonly skew: Skew;
  /** Instead of the system's own. For tests. */
  readonly boot: string | undefined;
}

/** Words of `ThreadStart.shared`. */
export const shared = {
  /** Commands carried out since the reader last looked. */
  written: 0,
  /** 1: the reader found so much in the WAL that the writer has to pause for it. */
  isWalLong: 1,
  /** Bytes of the WAL when the reader last looked. */
  walBytes: 2,
  words: 3,
} as const;

/** Where a payload lies that is too large to come along: the reader fetches it. */
export interface Stored {
  readonly n: number;
  readonly updated: number;
  readonly size: number;
}
export type Payload = Uint8Array | Stored;

/** What becomes of a claim, as it travels. `won` for the usual: the first attempt, nothing taken over. */
export type ClaimAnswer =
  | "won"
  | Extract<Claim, { kind: "won" | "held" | "inDoubt" | "notReplayable" }>
  | { kind: "done"; fingerprint: Fingerprint; ageMs: number; remainingMs: number; payload: Payload }
  | { kind: "landed"; fingerprint: Fingerprint; payload: Payload };

/** Who and what a record is for. */
export type Particulars = readonly [fingerprint: string, route: string, namespace: string, keyHash: string];

/** What the writer is asked, by verb: arguments and answer. */
export interface WriterVerbs {
  claim(
    key: string,
    token: string,
    particulars: Particulars,
    leaseMs: number,
    openMs: number,
    mayTake: boolean,
    after: string | undefined,
  ): ClaimAnswer;
  extend(key: string, token: string, leaseMs: number, openMs: number): boolean;
  complete(
    key: string,
    token: string,
    particulars: Particulars,
    isReplayable: boolean,
    status: number,
    payload: Uint8Array,
    retentionMs: number,
  ): boolean;
  withdraw(key: string, token: string): boolean;
  release(key: string, token: string, payload: Uint8Array | undefined, landingMs: number): boolean;
  strand(
    key: string,
    token: string,
    particulars: Particulars,
    cause: DoubtCause,
    payload: Uint8Array | undefined,
    openMs: number,
  ): boolean;
  sweep(limit: number): Swept[];
  forget(key: string, seen: Seen | undefined): "forgotten" | "absent" | "inFlight" | "moved";
  resolve(
    key: string,
    status: number,
    payload: Uint8Array | undefined,
    retentionMs: number,
    seen: Seen | undefined,
  ): "resolved" | "absent" | "notInDoubt" | "moved";
  ping(): true;
  close(): true;
}

export interface ReaderVerbs {
  /** `undefined`: it has changed since. */
  fetch(key: string, n: number, updated: number): Uint8Array | undefined;
  peek(key: string, withResponse: boolean): { view: RecordView; payload: Uint8Array | undefined } | undefined;
  list(query: ListQuery): { records: RecordView[]; cursor: string | null };
  census(): DoubtCount[];
  watch(key: string): true;
  unwatch(key: string): true;
  close(): true;
}

/** The number that its answer will carry, the verb, its arguments. */
export type Command = readonly [number, string, ...unknown[]];

/** In place of an answer. */
export interface RefusedCommand {
  readonly refused: string;
  readonly mayHaveRun: boolean;
}

/** What a thread posts: answers, each after its command's number, or one of these. */
export type Notice =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly why: string }
  | { readonly kind: "warning"; readonly what: string; readonly error?: Error | undefined }
  /** Records that another process may have changed. */
  | { readonly kind: "changed"; readonly keys: readonly string[] };

/** Codes of `record.state`. */
export const state = { inFlight: 1, inDoubt: 2, released: 3, completed: 4, notReplayable: 5 } as const;

export const stateNames: readonly (RecordState | null)[] = [
  null,
  "in_flight",
  "in_doubt",
  null,
  "completed",
  "not_replayable",
];
