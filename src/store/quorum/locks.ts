import type { RecordKey } from "../../model.js";

/** A lock that somebody was granted. None of its functions rejects. */
export interface GrantedLock {
  /** By the clock of `Locks`: from then on nobody may rely on it. */
  readonly validUntilMs: number;
  /** `lost`: it can never be renewed again. `unavailable`: not now, it is still good until `validUntilMs`. */
  renew(leaseMs: number): Promise<"renewed" | "lost" | "unavailable">;
  /** Gives it back, behind the caller's back. What cannot be told so forgets it when its time is over. */
  release(): void;
}

export type Taken =
  | { readonly kind: "granted"; readonly lock: GrantedLock }
  /** Somebody else has it, for `remainingMs` more if they do not renew it. */
  | { readonly kind: "held"; readonly remainingMs: number }
  /** Too few nodes answered to tell, and nothing was granted. */
  | { readonly kind: "unavailable"; readonly reason: string };

/** Locks that do not share the fate of the record store. */
export interface Locks {
  /** Monotonic, ms. */
  readonly now: () => number;
  /** A lock granted is valid for `leaseMs` at least, counted from the call. Settles in bounded time, never rejects. */
  take(key: RecordKey, leaseMs: number): Promise<Taken>;
  /** For how long it would be refused, ms, if nobody renewed it; 0 also when nobody can tell. Never rejects. */
  remainingMs(key: RecordKey): Promise<number>;
  close(): Promise<void>;
}
