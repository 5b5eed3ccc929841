import type { Lease } from "../model.js";
import type { RecordStore } from "../store/record-store.js";
import { TurnoverSet } from "../turnover.js";

interface Kept {
  readonly lease: Lease;
  readonly leaseMs: number;
  readonly openRetentionMs: number;
  readonly onLost: () => void;
  dueAtMs: number;
  /** When the store last answered that the lease is held. It looked at most one round trip before. */
  confirmedAtMs: number;
  /** Until then the store has granted the lease, by this process's monotonic clock. */
  heldUntilMs: number;
  isLost: boolean;
  /** The doubt this execution leaves is counted: the end of a drain and the end of its call may both write it. */
  isDoubtTold: boolean;
}

/**
 * Renews leases while their flights last, at a third of their length.
 *
 * Leases of one length fall due in the order they were taken, so each length has one queue and one timer: most
 * flights land before their first renewal and never cost a timer of their own. The timer is left as it is when its flight lands.
 */
export class Keeper {
  readonly #queues = new Map<number, { readonly due: TurnoverSet<Kept>; timer: NodeJS.Timeout | undefined }>();

  constructor(
    private readonly store: RecordStore,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** `takenAtMs`: when the claim was *sent*; the lease cannot have begun earlier. */
  keep(lease: Lease, leaseMs: number, openRetentionMs: number, takenAtMs: number, onLost: () => void): Kept {
    // Its lease would fall due before others that are in the queue already.
    const nowMs = this.now();
    const isLate = nowMs - takenAtMs > leaseMs / 6;
    const kept: Kept = {
      lease,
      leaseMs,
      openRetentionMs,
      onLost,
      dueAtMs: (isLate ? nowMs : takenAtMs) + leaseMs / 3,
      confirmedAtMs: nowMs,
      heldUntilMs: takenAtMs + leaseMs,
      isLost: false,
      isDoubtTold: false,
    };
    this.#enqueue(kept);
    if (isLate) void this.renew(kept);
    return kept;
  }

  /** Whether the lease lasts so long still that what is written now has arrived before anybody else may have it. */
  isSurelyHeld({ heldUntilMs, leaseMs, isLost }: Kept): boolean {
    return !isLost && this.now() < heldUntilMs - leaseMs / 4;
  }

  /** Whether the store has said within the last `ms` that the lease is held. */
  isConfirmedWithin({ confirmedAtMs, isLost }: Kept, ms: number): boolean {
    return !isLost && this.now() < confirmedAtMs + ms;
  }

  /** The lease is given away: nothing may be sent under it any more. */
  giveUp(kept: Kept): void {
    kept.isLost = true;
    this.drop(kept);
  }

  drop(kept: Kept): void {
    this.#queues.get(kept.leaseMs)?.due.delete(kept);
  }

  #enqueue(kept: Kept): void {
    let queue = this.#queues.get(kept.leaseMs);
    if (queue === undefined) {
      queue = { due: new TurnoverSet(), timer: undefined };
      this.#queues.set(kept.leaseMs, queue);
    }
    queue.due.add(kept);
    if (queue.timer === undefined) this.#arm(kept.leaseMs);
  }

  #arm(leaseMs: number): void {
    const queue = this.#queues.get(leaseMs);
    const first = queue?.due.first();
    if (queue === undefined || first === undefined) return;
    const delayMs = Math.max(5, first.dueAtMs - this.now());
    queue.timer = setTimeout(() => {
      queue.timer = undefined;
      this.#renewDue(leaseMs);
      this.#arm(leaseMs);
    }, delayMs).unref();
  }

  #renewDue(leaseMs: number): void {
    const queue = this.#queues.get(leaseMs);
    if (queue === undefined) return;
    const now = this.now();
    const due: Kept[] = [];
    for (const kept of queue.due) {
      if (kept.dueAtMs > now) break;
      due.push(kept);
    }
    for (const kept of due) {
      queue.due.delete(kept);
      // Back at the end at once, so that a slow store does not stop the clock; `drop` still finds it there.
      kept.dueAtMs = now + leaseMs / 3;
      queue.due.add(kept);
      void this.renew(kept);
    }
  }

  /** Besides the renewals that fall due by themselves. Never rejects. */
  async renew(kept: Kept): Promise<void> {
    const sentAtMs = this.now();
    try {
      const answer = await this.store.extend(kept.lease, kept.leaseMs, kept.openRetentionMs);
      if (answer === "kept") {
        kept.confirmedAtMs = this.now();
        kept.heldUntilMs = sentAtMs + kept.leaseMs;
        return;
      }
      // A lost lease is reported, not retried: somebody else may already be running.
      const wasKept = this.#isKept(kept);
      this.giveUp(kept);
      if (wasKept) kept.onLost();
    } catch {
      // The store is away: two more renewals fall due before the lease is over. It counts its own errors.
    }
  }

  #isKept(kept: Kept): boolean {
    return this.#queues.get(kept.leaseMs)?.due.has(kept) ?? false;
  }
}

export type { Kept };
