import type { Claim, DoubtCause, FlightId, Landing, Lease, RecordKey } from "../../model.js";
import { TurnoverMap } from "../../turnover.js";
import {
  type ClaimRequest,
  type Completion,
  type ListQuery,
  type Origin,
  type RecordStore,
  type Resolution,
  type Seen,
  StoreUnavailableError,
} from "../record-store.js";
import { Guard } from "./guard.js";
import type { GrantedLock, Locks } from "./locks.js";
import { Refusals } from "./refusals.js";

export interface Doubt {
  readonly route: string;
  readonly cause: DoubtCause;
  /** First 8 digits of the record id. */
  readonly key: string;
}

export interface QuorumHooks {
  /** A record turned in doubt here, and no answer of the store will say so again. */
  readonly onDoubt: (doubt: Doubt) => void;
}

/** Whose lock it is nobody can tell: no token begins like this. */
const unknownFlight: FlightId = "0".repeat(16);

/** A store that forgets what it has just granted more often than this is no store. */
const claimTurns = 3;

/**
 * An owner's last word is said again when somebody else's claim stands in the way: so often, so many ms apart. Together
 * that is more than such a claim is there, unless its process died.
 */
const completionTries = 60;
const completionPauseMs = 25;

/**
 * A record store whose claims are won only when a lock is granted as well, by nodes that do not fail with it: a record
 * that the store forgets while its owner runs is not run a second time meanwhile.
 *
 * The claim comes first and the lock second, so that all other answers cost what they cost without locks. The lock goes
 * when the record says how the flight ended. See `docs/decisions/0050-…` and the pages after it.
 */
export class QuorumStore implements RecordStore {
  readonly withdrawAfterMs: number;
  /** By key and token: the flights of this process. */
  readonly #guards = new TurnoverMap<string, Guard>();
  readonly #refusals: Refusals;

  constructor(
    private readonly store: RecordStore,
    private readonly locks: Locks,
    private readonly hooks: QuorumHooks,
  ) {
    this.withdrawAfterMs = store.withdrawAfterMs;
    this.#refusals = new Refusals(store, locks);
  }

  async claim(request: ClaimRequest): Promise<Claim> {
    for (let turn = 0; turn < claimTurns; turn++) {
      const claim = await this.#claimOnce(request);
      if (claim !== undefined) return claim;
    }
    throw new StoreUnavailableError("claim", true);
  }

  /** `undefined`: what the store said was no longer true when the lock was granted. */
  async #claimOnce(request: ClaimRequest): Promise<Claim | undefined> {
    const blockedMs = await this.#refusals.stillBlockedMs(request);
    if (blockedMs > 0) return heldFor(blockedMs, request);
    const claim = await this.store.claim(request);
    if (claim.kind !== "won") return claim;
    const own = this.#guards.get(placeOf(request.lease));
    // A claim sent again meets itself.
    if (own !== undefined && (await own.renew(request.leaseMs))) return claim;
    this.#end(own);
    const taken = await this.locks.take(request.lease.key, request.leaseMs);
    if (taken.kind === "granted") return (await this.#isConfirmed(request, taken.lock)) ? claim : undefined;
    await this.#takeBack(request, claim);
    if (taken.kind === "unavailable") {
      throw new StoreUnavailableError("claim", false, { cause: new Error(`lock nodes: ${taken.reason}`) });
    }
    this.#refusals.add(request.lease.key);
    return heldFor(taken.remainingMs, request);
  }

  /**
   * Whether the claim still stands, now that the lock is held. The owner before writes its record and then gives back the
   * lock; so who comes after takes the lock and then reads the record, or it may have read what was written over since.
   */
  async #isConfirmed(request: ClaimRequest, lock: GrantedLock): Promise<boolean> {
    const { lease, leaseMs, openRetentionMs } = request;
    const guard = new Guard(request, lock, this.locks, (lost) => this.#mayForget(lost));
    this.#guards.set(placeOf(lease), guard);
    try {
      if ((await this.store.extend(lease, leaseMs, openRetentionMs)) === "kept") return true;
    } catch (cause) {
      this.#end(guard);
      throw new StoreUnavailableError("claim", true, { cause });
    }
    this.#end(guard);
    return false;
  }

  /** Nothing was sent for it. */
  async #takeBack({ lease, route }: ClaimRequest, claim: Claim & { kind: "won" }): Promise<void> {
    if (claim.expired && claim.taken !== null) this.#tellDoubt(route, claim.taken, lease.key);
    try {
      await this.store.withdraw(lease);
    } catch (cause) {
      throw new StoreUnavailableError("claim", true, { cause });
    }
  }

  async extend(lease: Lease, leaseMs: number, openRetentionMs: number): Promise<"kept" | "lost"> {
    const guard = this.#guards.get(placeOf(lease));
    if (guard === undefined) return this.store.extend(lease, leaseMs, openRetentionMs);
    if (guard.isHeld) {
      const renewing = guard.renew(leaseMs);
      const answer = await this.store.extend(lease, leaseMs, openRetentionMs);
      if (answer === "lost") {
        guard.goOnAlone();
        return answer;
      }
      if (await renewing) return answer;
    }
    guard.heard(leaseMs);
    await this.#writeDown(guard);
    this.#end(guard);
    return "lost";
  }

  async complete(lease: Lease, completion: Completion, origin: Origin): Promise<"stored" | "lost"> {
    const guard = this.#guards.get(placeOf(lease));
    guard?.heard();
    let answer = await this.store.complete(lease, completion, origin);
    if (guard === undefined) return answer;
    // The store had forgotten the record, and a claim that our lock stops is about to be withdrawn.
    for (let tries = 0; answer === "lost" && tries < completionTries; tries++) {
      if (!guard.isHeld) break;
      const state = (await this.store.peek(lease.key, false))?.state;
      if (state !== undefined && state !== "in_flight") break;
      await new Promise((resolve) => setTimeout(resolve, completionPauseMs * (0.5 + Math.random())));
      answer = await this.store.complete(lease, completion, origin);
    }
    if (answer === "lost") await this.#outlast(guard);
    else this.#end(guard);
    return answer;
  }

  /** Nothing was sent: nothing needs to be guarded, whatever becomes of the record. */
  withdraw(lease: Lease): Promise<"withdrawn" | "lost"> {
    this.#end(this.#guards.get(placeOf(lease)));
    return this.store.withdraw(lease);
  }

  /** Nothing happened, or the upstream wants it sent again: the next claim may come as soon as it can read so. */
  release(
    lease: Lease,
    landed?: { readonly landing: Landing; readonly landingMs: number },
  ): Promise<"released" | "lost"> {
    this.#end(this.#guards.get(placeOf(lease)));
    return this.store.release(lease, landed);
  }

  async strand(
    lease: Lease,
    cause: DoubtCause,
    landing: Landing | undefined,
    origin: Origin,
  ): Promise<"stranded" | "lost"> {
    const guard = this.#guards.get(placeOf(lease));
    guard?.heard();
    const answer = await this.store.strand(lease, cause, landing, origin);
    if (answer === "lost" && guard !== undefined) await this.#outlast(guard);
    else this.#end(guard);
    return answer;
  }

  /** A record whose lease is over while its owner holds the lock and lives is a doubt like any other: it may complete it. */
  sweep(limit: number) {
    return this.store.sweep(limit);
  }

  peek(key: RecordKey, withResponse: boolean) {
    return this.store.peek(key, withResponse);
  }

  list(query: ListQuery) {
    return this.store.list(query);
  }

  census() {
    return this.store.census();
  }

  forget(key: RecordKey, seen?: Seen) {
    return this.store.forget(key, seen);
  }

  resolve(key: RecordKey, resolution: Resolution, seen?: Seen) {
    return this.store.resolve(key, resolution, seen);
  }

  watch(key: RecordKey, wake: () => void): () => void {
    return this.store.watch(key, wake);
  }

  /** Without a majority of lock nodes what is stored is still replayed, so the record store alone decides. */
  ping(): Promise<void> {
    return this.store.ping();
  }

  async close(): Promise<void> {
    for (const [place, guard] of [...this.#guards]) {
      guard.stop();
      this.#guards.delete(place);
    }
    await this.locks.close();
    await this.store.close();
  }

  #end(guard: Guard | undefined): void {
    if (guard === undefined) return;
    guard.end();
    const place = placeOf(guard.request.lease);
    if (this.#guards.get(place) === guard) this.#guards.delete(place);
  }

  /**
   * The record is another's by now. If that is a claim which is still without its lock, the lock must not become free
   * while the claim stands: renewed once more and left to run out, it lasts longer than the lease.
   */
  async #outlast(guard: Guard): Promise<void> {
    if (guard.isHeld && (await guard.renew(guard.request.leaseMs))) {
      guard.stop();
      this.#guards.delete(placeOf(guard.request.lease));
    } else this.#end(guard);
  }

  /** A store that is away is asked again, until the lease is over: then the record is in doubt by itself. */
  async #mayForget(guard: Guard): Promise<boolean> {
    try {
      await this.#writeDown(guard);
    } catch {
      if (guard.isWanted) return false;
    }
    this.#end(guard);
    return true;
  }

  /**
   * The lock is lost and the flight goes on: in doubt, so that nobody takes the record for free, until its owner says how
   * the flight ended. A record whose lease is over is in doubt by itself, and one that has ended needs nothing.
   */
  async #writeDown(guard: Guard): Promise<void> {
    const { lease, route } = guard.request;
    if ((await this.store.peek(lease.key, false))?.state !== "in_flight") return;
    const answer = await this.store.strand(lease, "lock_lost", undefined, {
      ...guard.request,
      retentionMs: guard.request.openRetentionMs,
    });
    // The guard and an extension may both have found out.
    if (answer === "lost" || guard.isTold) return;
    guard.isTold = true;
    this.#tellDoubt(route, "lock_lost", lease.key);
  }

  #tellDoubt(route: string, cause: DoubtCause, key: RecordKey): void {
    this.hooks.onDoubt({ route, cause, key: key.slice(0, 8) });
  }
}

function placeOf(lease: Lease): string {
  return lease.key + lease.token;
}

/** The lock's owner sent the same request, or the store would have told; what it forgot, nobody can. */
function heldFor(remainingMs: number, { fingerprint }: ClaimRequest): Claim {
  return { kind: "held", fingerprint, flight: unknownFlight, remainingMs };
}
