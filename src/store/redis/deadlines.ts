/** Something that has to end in time. Whoever lets it wait in `Deadlines` touches neither link. */
export interface Due {
  /** Its time is over. Called at most once, and not after it was removed. */
  expire(): void;
  dueAtMs: number;
  before: Due | undefined;
  after: Due | undefined;
}

/**
 * One timer for all that may take the same time: they fall due in the order they began, and nearly all end long before. A timer
 * for each would cost more than most of what is done for a request.
 */
export class Deadlines {
  #first: Due | undefined;
  #last: Due | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly lastsMs: number) {}

  add(due: Due): void {
    due.dueAtMs = performance.now() + this.lastsMs;
    due.before = this.#last;
    if (this.#last === undefined) this.#first = due;
    else this.#last.after = due;
    this.#last = due;
    if (this.#timer === undefined) this.#arm();
  }

  /** Nothing, where it is not there any more. */
  remove(due: Due): void {
    const { before, after } = due;
    if (before === undefined && this.#first !== due) return;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    due.before = undefined;
    due.after = undefined;
  }

  /** The timer stays as it is when what it was set for has ended: the next one is set when it fires. */
  #arm(): void {
    const first = this.#first;
    if (first === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#expireDue();
        this.#arm();
      },
      Math.max(1, Math.ceil(first.dueAtMs - performance.now())),
    ).unref();
  }

  #expireDue(): void {
    const nowMs = performance.now();
    for (let first = this.#first; first !== undefined && first.dueAtMs <= nowMs; first = this.#first) {
      this.remove(first);
      first.expire();
    }
  }
}
