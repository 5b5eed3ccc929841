import type { EventHub } from "../events.js";
import type { Attempt } from "../model.js";
import { inProgress } from "../rules/judge.js";
import type { Answer, Work } from "./answer.js";

/** One client that wants the result. */
export interface Client {
  readonly attempt: Attempt;
  readonly work: Work;
  /** Called exactly once, unless the client left before. */
  readonly reply: (answer: Answer) => void;
  /** Called before `reply`, whenever this client has waited for another execution's end. */
  readonly waited?: (durationMs: number) => void;
}

interface Seat {
  readonly client: Client;
  timer: NodeJS.Timeout | undefined;
  sinceMs: number;
}

/**
 * One execution of one record as this process sees it, and everybody here who waits for it.
 *
 *     claiming ──won──▶ running ──▶ landed
 *        │                 ▲
 *       held             won (released or taken over meanwhile)
 *        ▼                 │
 *     watching ────────────┘──done, in doubt, …──▶ landed
 *
 * The flight belongs to no client: all of them may leave while it runs, and it lands all the same.
 */
export class Flight {
  phase: "claiming" | "running" | "watching" = "claiming";
  readonly attempt: Attempt;
  readonly #waiters = new Map<Client, Seat>();
  #first: Client;
  #hasFirstLeft = false;
  #onEmpty: (() => void) | undefined;

  constructor(
    first: Client,
    private readonly hub: EventHub,
  ) {
    this.attempt = first.attempt;
    this.#first = first;
    this.#waiters.set(first, { client: first, timer: undefined, sinceMs: 0 });
  }

  get isEmpty(): boolean {
    return this.#waiters.size === 0;
  }

  /** The client whose request runs, should this process win the record. */
  get first(): Client {
    return this.#first;
  }

  /** Answers at once where the route's policy does not let this client wait. */
  join(client: Client): void {
    const { policy } = client.attempt;
    const mayWait = policy.concurrency === "wait" || this.phase === "claiming";
    // The client whose request runs here is none of those who wait, and may have its stream already.
    const isFirstServed = this.phase !== "watching" && this.#waiters.has(this.#first);
    const waiting = this.#waiters.size - (isFirstServed ? 1 : 0);
    if (!mayWait || waiting >= policy.maxWaiters) {
      client.reply({ kind: "problem", problem: inProgress, result: "in_progress" });
      return;
    }
    const seat: Seat = { client, timer: undefined, sinceMs: 0 };
    this.#waiters.set(client, seat);
    this.#seatDown(seat);
  }

  /** The client hung up. A client whose request is claimed for, or runs, cannot be spared: `false`, it is still replied to. */
  leave(client: Client): boolean {
    if (client === this.#first && this.phase !== "watching") {
      this.#hasFirstLeft = true;
      return false;
    }
    this.#remove(client);
    return true;
  }

  /** This process runs the request of the first client, which from now on waits for no timeout but the upstream's. */
  run(): void {
    this.phase = "running";
    this.#refuseImpatient();
    const seat = this.#waiters.get(this.#first);
    if (seat !== undefined) this.#standUp(seat);
  }

  /** The first client gets a stream, and waits for nothing more; the others go on waiting. `false`: it has been answered. */
  release(first: Client): boolean {
    return this.#waiters.delete(first);
  }

  /** Somebody else runs it: now the first client waits like all the others. `onEmpty`: the last one has left. */
  watch(onEmpty: () => void): void {
    this.#onEmpty = onEmpty;
    if (this.phase === "watching") return;
    this.phase = "watching";
    this.#refuseImpatient();
    const seat = this.#waiters.get(this.#first);
    if (seat === undefined) return;
    if (this.#hasFirstLeft) this.#refuse(seat.client);
    else this.#seatDown(seat);
    const { maxWaiters } = this.attempt.policy;
    if (this.#waiters.size <= maxWaiters) return;
    for (const { client } of [...this.#waiters.values()].slice(maxWaiters)) this.#refuse(client);
  }

  /** Everybody gets up, and the flight is over. */
  dismiss(): Client[] {
    const left = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const seat of left) this.#standUp(seat);
    return left.map((seat) => seat.client);
  }

  #refuseImpatient(): void {
    for (const { client } of this.#waiters.values()) {
      if (client === this.#first || client.attempt.policy.concurrency === "wait") continue;
      this.#refuse(client);
    }
  }

  #refuse(client: Client): void {
    this.#remove(client);
    client.reply({ kind: "problem", problem: inProgress, result: "in_progress" });
  }

  #seatDown(seat: Seat): void {
    this.hub.emit("waiting", { route: seat.client.attempt.route.name });
    seat.sinceMs = performance.now();
    seat.timer = setTimeout(() => this.#refuse(seat.client), seat.client.attempt.policy.waitTimeoutMs);
  }

  #standUp(seat: Seat): void {
    if (seat.timer === undefined) return;
    clearTimeout(seat.timer);
    seat.timer = undefined;
    const { client } = seat;
    const durationMs = performance.now() - seat.sinceMs;
    this.hub.emit("waited", { route: client.attempt.route.name, durationMs });
    client.waited?.(durationMs);
  }

  #remove(client: Client): void {
    const seat = this.#waiters.get(client);
    if (seat === undefined) return;
    this.#waiters.delete(client);
    this.#standUp(seat);
    if (client === this.#first) this.#first = this.#waiters.keys().next().value ?? client;
    if (this.isEmpty) this.#onEmpty?.();
  }
}
