const warnAgainAfterMs = 10_000;

/** Warns of the same thing once in a while, not each time it is met. */
export class Warnings {
  readonly #warnedAtMs = new Map<string, number>();

  constructor(private readonly tell: (what: string, error: Error | undefined) => void) {}

  meet(what: string, error?: Error): void {
    const nowMs = performance.now();
    if (nowMs - (this.#warnedAtMs.get(what) ?? Number.NEGATIVE_INFINITY) < warnAgainAfterMs) return;
    this.#warnedAtMs.set(what, nowMs);
    this.tell(what, error);
  }
}
