import type { ClaimRequest } from "../record-store.js";
import type { GrantedLock, Locks } from "./locks.js";

/** When a lock is renewed, in parts of its lease. Its owner extends at a third, so this is for owners who do not. */
const renewAfter = 0.4;
/** The next try after one that found no majority. */
const tryAgainAfter = 0.1;

/** An owner who was told that its record is lost is silent until its flight ends: so long at most, ms. */
const longestSilenceMs = 3_600_000;

/**
 * The lock of one flight, renewed while the flight lasts. Its owner is heard of with every extension; and when the
 * record store has lost the record and there is nothing to extend any more, the lock is all that keeps a second
 * execution away, so it is renewed without being asked.
 */
export class Guard {
  #timer: NodeJS.Timeout | undefined;
  #leaseMs: number;
  #wantedUntilMs: number;
  #isLost = false;
  #isOver = false;
  /** Whether the doubt that its loss leaves has been told. */
  isTold = false;

  /** `onLost` deals with a lock that is gone, and answers whether that is done; else it is called again. */
  constructor(
    readonly request: ClaimRequest,
    private readonly lock: GrantedLock,
    private readonly locks: Locks,
    private readonly onLost: (guard: Guard) => Promise<boolean>,
  ) {
    this.#leaseMs = request.leaseMs;
    this.#wantedUntilMs = locks.now() + request.leaseMs;
    this.#tickIn(renewAfter);
  }

  get isHeld(): boolean {
    return !this.#isLost && !this.#isOver && this.locks.now() < this.lock.validUntilMs;
  }

  /** Whether its owner may still hold a lease. */
  get isWanted(): boolean {
    return this.locks.now() < this.#wantedUntilMs;
  }

  /** The owner asks for another lease. Answers whether the lock is still held; never rejects. */
  async renew(leaseMs: number): Promise<boolean> {
    this.#leaseMs = leaseMs;
    this.heard(leaseMs);
    await this.#renew();
    return this.isHeld;
  }

  /** The owner is there: whatever it tries, it may try for another lease. */
  heard(leaseMs: number = this.#leaseMs): void {
    this.#wantedUntilMs = Math.max(this.#wantedUntilMs, this.locks.now() + leaseMs);
  }

  /** The owner has been told that its record is lost, and will extend no more. */
  goOnAlone(): void {
    this.heard(longestSilenceMs);
  }

  /** The flight is over. */
  end(): void {
    this.stop();
    this.lock.release();
  }

  /** Nobody renews it from here on. */
  stop(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }

  async #renew(): Promise<void> {
    if (!this.isHeld) {
      this.#isLost = true;
      return;
    }
    const answer = await this.lock.renew(this.#leaseMs);
    if (answer === "lost") this.#isLost = true;
    this.#tickIn(answer === "renewed" ? renewAfter : tryAgainAfter);
  }

  #tickIn(part: number): void {
    clearTimeout(this.#timer);
    if (this.#isOver) return;
    this.#timer = setTimeout(() => void this.#tick(), Math.max(10, part * this.#leaseMs)).unref();
  }

  async #tick(): Promise<void> {
    if (this.isHeld) {
      if (this.isWanted) await this.#renew();
      else this.#tickIn(tryAgainAfter);
      if (this.isHeld || this.#isOver) return;
    }
    this.#isLost = true;
    if (!(await this.onLost(this))) this.#tickIn(tryAgainAfter);
  }
}
