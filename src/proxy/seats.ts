import type { Dispatcher } from "undici";

/** How many requests an upstream has at once, whoever sends them. */
export class Seats {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(count: number) {
    this.#free = count;
  }

  take(): boolean {
    if (this.#free === 0) return false;
    this.#free--;
    return true;
  }

  /** Calls `taken` with the next seat that is given back; who does not want it any more gives it on. */
  wait(taken: () => void): void {
    this.#waiting.push(taken);
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

/** A handler of undici's that says whether it still wants to be sent, and is asked to tell when its request is over. */
export interface SeatedHandler extends Dispatcher.DispatchHandler {
  readonly isOver: boolean;
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
    else this.seats.wait(() => this.#dispatch(options, handler));
  }

  #dispatch(options: Dispatcher.DispatchOptions, handler: SeatedHandler): void {
    if (handler.isOver) return this.seats.give();
    handler.onOver = () => this.seats.give();
    try {
      this.pool.dispatch(options, handler);
    } catch (error) {
      handler.onError?.(error as Error);
    }
  }
}
