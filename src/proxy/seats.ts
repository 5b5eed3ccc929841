import type { Dispatcher } from "undici";

/** How many requests an upstream has at once, whoever sends them. */
export class Seats {
  /** In the order they came. */
  readonly #waiting = new Set<() => void>();
  readonly #told: (() => void)[] = [];
  #free: number;
  #isGiving = false;

  constructor(count: number) {
    this.#free = count;
  }

  take(): boolean {
    if (this.#free === 0) return false;
    this.#free--;
    return true;
  }

  /** Calls `taken` with a seat that was given back. Returns the way to wait no longer. */
  wait(taken: () => void): () => void {
    this.#waiting.add(taken);
    return () => {
      this.#waiting.delete(taken);
      this.#tell();
    };
  }

  /** Calls `told` once, when nobody waits for a seat: now, or when the last one has got his or has left. */
  onceNobodyWaits(told: () => void): void {
    this.#told.push(told);
    this.#tell();
  }

  /** Whoever is given a seat may give it back at once: that goes round here, and not one call deeper each time. */
  give(): void {
    this.#free++;
    if (this.#isGiving) return;
    this.#isGiving = true;
    try {
      for (const taken of this.#waiting) {
        if (this.#free === 0) break;
        this.#free--;
        this.#waiting.delete(taken);
        taken();
      }
    } finally {
      this.#isGiving = false;
    }
    this.#tell();
  }

  #tell(): void {
    if (this.#waiting.size > 0 || this.#told.length === 0) return;
    for (const told of this.#told.splice(0)) told();
  }
}

/** A handler of undici's that says whether it still wants to be sent, and is asked to tell when its request is over. */
export interface SeatedHandler extends Dispatcher.DispatchHandler {
  readonly isOver: boolean;
  /** Called when its request is over, or, before it was sent, given up; perhaps more than once. */
  onOver: () => void;
}

/** Dispatches when there is a seat. */
export class SeatedPool {
  constructor(
    readonly pool: Dispatcher,
    private readonly seats: Seats,
  ) {}

  /** No new requests; ends with the last of those that wait or run. */
  close(): void {
    this.seats.onceNobodyWaits(() => void this.pool.close());
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: SeatedHandler): void {
    if (this.seats.take()) this.#dispatch(options, handler);
    else handler.onOver = this.seats.wait(() => this.#dispatch(options, handler));
  }

  #dispatch(options: Dispatcher.DispatchOptions, handler: SeatedHandler): void {
    if (handler.isOver) return this.seats.give();
    let isSeated = true;
    handler.onOver = () => {
      const wasSeated = isSeated;
      isSeated = false;
      if (wasSeated) this.seats.give();
    };
    try {
      this.pool.dispatch(options, handler);
    } catch (error) {
      handler.onError?.(error as Error);
    }
  }
}
