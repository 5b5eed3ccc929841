const againAfterMs = 10_000;

/** Tells the operator of a trouble once in a while, not each time it is met. */
export class Troubles {
  readonly #toldAtMs = new Map<string, number>();

  constructor(private readonly tell: (what: string, error: Error | undefined) => void) {}

  meet(what: string, error?: Error): void {
    const nowMs = performance.now();
    if (nowMs - (this.#toldAtMs.get(what) ?? Number.NEGATIVE_INFINITY) < againAfterMs) return;
    this.#toldAtMs.set(what, nowMs);
    this.tell(what, error);
  }
}
