import Redlock, { type Client, Lock } from "redlock";
import type { RecordKey } from "../../model.js";
import { inTime } from "./in-time.js";
import type { GrantedLock, Locks, Taken } from "./locks.js";
import { readVotes } from "./votes.js";

/** Retries of its own block `redlock` by its own partial locks, and end in locks that are over when it returns them. */
const once = { retryCount: 0 };

/** Part of a lock's time that the clocks of nodes and gateway may differ by, and what Redis rounds, ms. */
const driftFactor = 0.01;
const driftMs = 2;

/** Answers or rejects within the command timeout, and always rejects with an `Error`. */
export interface VotingNode extends Client {
  /** How long a name is still taken, ms; 0 when it is free. */
  remainingMs(name: string): Promise<number>;
  close(): Promise<void>;
}

export interface QuorumLocksOptions {
  readonly keyPrefix: string;
  readonly commandTimeoutMs: number;
  readonly now: () => number;
  /** Told when no majority can be asked any more, once, and when it can again. */
  readonly onTrouble: (text: string) => void;
  readonly onRecovery: (text: string) => void;
}

/**
 * `redlock` on an odd number of nodes, and what has to stand between it and anybody who relies on it: it has no time
 * limit, believes locks whose time is over, and tells a held lock and absent nodes by the same error.
 */
export class QuorumLocks implements Locks {
  readonly now: () => number;
  readonly #redlock: Redlock;
  readonly #quorum: number;
  /** Two commands one after the other, each as slow as it may be: the votes, and the tidying up `redlock` does itself. */
  readonly #patienceMs: number;
  readonly #releasing = new Set<Promise<void>>();
  #isShort = false;

  constructor(
    private readonly nodes: readonly VotingNode[],
    private readonly options: QuorumLocksOptions,
  ) {
    // With an even number, as many votes for as against leave `redlock` waiting for good.
    if (nodes.length % 2 === 0) throw new Error("locks need an odd number of nodes");
    this.#redlock = new Redlock(nodes, once);
    this.#quorum = (nodes.length + 1) / 2;
    this.#patienceMs = 2 * options.commandTimeoutMs + 100;
    this.now = options.now;
  }

  async take(key: RecordKey, leaseMs: number): Promise<Taken> {
    const name = this.#nameOf(key);
    const ttlMs = ttlOf(leaseMs);
    const askedAtMs = this.now();
    const asking = this.#redlock.acquire([name], ttlMs, once);
    try {
      const { value } = await inTime(asking, this.#patienceMs);
      const granted = this.#granted(name, value, askedAtMs + validityOf(ttlMs));
      if (granted.validUntilMs - this.now() >= ttlMs / 2) {
        this.#tellMajority(undefined);
        return { kind: "granted", lock: granted };
      }
      granted.release();
      return this.#unavailable("the lock was granted too late");
    } catch (error) {
      asking.then(
        ({ value }) => this.#release(name, value),
        () => {},
      );
      return this.#refused(error, key);
    }
  }

  async remainingMs(key: RecordKey): Promise<number> {
    const name = this.#nameOf(key);
    const asked = this.nodes.map((node) => node.remainingMs(name).catch(() => Number.POSITIVE_INFINITY));
    const answers = (await Promise.all(asked)).sort((a, b) => a - b);
    // A majority is free when the last of those that are free first is.
    const lastMs = answers[this.#quorum - 1]!;
    return Number.isFinite(lastMs) ? lastMs : 0;
  }

  async #refused(error: unknown, key: RecordKey): Promise<Taken> {
    const votes = await readVotes(error, this.options.commandTimeoutMs);
    if (votes === undefined) return this.#unavailable(error instanceof Error ? error.message : String(error));
    if (votes.refusing === 0 || votes.failing.length >= this.#quorum) {
      return this.#unavailable(votes.failing.join("; "));
    }
    this.#tellMajority(undefined);
    return { kind: "held", remainingMs: await this.remainingMs(key) };
  }

  /** Nothing but the configured prefix and the record's id, a hash, is in a name. */
  #nameOf(key: RecordKey): string {
    return `${this.options.keyPrefix}lock:${key}`;
  }

  #unavailable(reason: string): Taken {
    this.#tellMajority(reason);
    return { kind: "unavailable", reason };
  }

  #tellMajority(missingBecause: string | undefined): void {
    const isShort = missingBecause !== undefined;
    if (this.#isShort === isShort) return;
    this.#isShort = isShort;
    if (isShort) this.options.onTrouble(`no majority of the lock nodes can be asked: ${missingBecause}`);
    else this.options.onRecovery("a majority of the lock nodes answers again");
  }

  #granted(name: string, value: string, validUntilMs: number): GrantedLock {
    const lock = {
      validUntilMs,
      renew: async (leaseMs: number) => {
        if (this.now() >= lock.validUntilMs) return "lost" as const;
        const ttlMs = ttlOf(leaseMs);
        const askedAtMs = this.now();
        const answer = await this.#renew(name, value, ttlMs);
        if (answer === "renewed") lock.validUntilMs = Math.max(lock.validUntilMs, askedAtMs + validityOf(ttlMs));
        return this.now() < lock.validUntilMs ? answer : "lost";
      },
      release: () => this.#release(name, value),
    };
    return lock;
  }

  async #renew(name: string, value: string, ttlMs: number): Promise<"renewed" | "lost" | "unavailable"> {
    try {
      await inTime(this.#redlock.extend(this.#handle(name, value), ttlMs, once), this.#patienceMs);
      return "renewed";
    } catch (error) {
      const votes = await readVotes(error, this.options.commandTimeoutMs);
      const left = this.nodes.length - (votes?.refusing ?? 0);
      return left < this.#quorum ? "lost" : "unavailable";
    }
  }

  #release(name: string, value: string): void {
    const releasing = inTime(this.#redlock.release(this.#handle(name, value), once), this.#patienceMs)
      .then(
        () => {},
        () => {},
      )
      .finally(() => this.#releasing.delete(releasing));
    this.#releasing.add(releasing);
  }

  /** Its time is kept here, by a clock that nobody sets; `redlock` would go by the wall clock. */
  #handle(name: string, value: string): Lock {
    return new Lock(this.#redlock, [name], value, [], Number.POSITIVE_INFINITY);
  }

  /** Locks that are still out stay until their time is over: what they guard may still be running. */
  async close(): Promise<void> {
    await Promise.all(this.#releasing);
    await Promise.all(this.nodes.map((node) => node.close()));
  }
}

/** So much that the whole lease is left when the drift is taken off. */
function ttlOf(leaseMs: number): number {
  return Math.ceil((leaseMs + driftMs + 1) / (1 - driftFactor));
}

function validityOf(ttlMs: number): number {
  return ttlMs - Math.ceil(ttlMs * driftFactor) - driftMs;
}
