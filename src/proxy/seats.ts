import type { Dispatcher } from "undici";

/** How many requests an upstream has at once, whoever sends them. */
export class Seats {
  /** In the order they came. */
  readonly #waiting = new Set<() => void>();
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
    return () => this.#waiting.delete(taken);
  }

  /** Whoever is given a seat may give it back at once: that goes round here, and not one call deeper each time. */
  give(): void {
    this.#free++;
    if (this.#isGiving) return;
    this.#isGiving = true;
    try {
      for (const taken of this.#waiting) {
        if (this.#free === 0) return;
        this.#free--;
        this.#waiting.delete(taken);
        taken();
      }
    } finally {
      this.#isGiving = false;
    }
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
