export interface Pace {
  /** Between two looks at least, ms. */
  readonly everyMs: number;
  /** How long whoever asks may be kept waiting for a new look, ms. */
  readonly patienceMs: number;
  /** For how long what was seen is believed, ms: after that nothing is known rather than something old. */
  readonly believedMs: number;
  /** Monotonic, ms. */
  readonly now?: () => number;
}

/**
 * Something that is dear to look at, looked at only when somebody asks, and then not too often. A look that fails changes
 * nothing; the one before it goes on being believed for a while.
 */
export class Lookout<Seen> {
  readonly #now: () => number;
  #lastAtMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  #seen: { readonly value: Seen; readonly atMs: number } | undefined;

  constructor(
    private readonly look: () => Promise<Seen>,
    private readonly pace: Pace,
  ) {
    this.#now = pace.now ?? (() => performance.now());
  }

  /** Resolves once there is news, or there will be none soon. Never rejects. */
  async refresh(): Promise<void> {
    if (this.#looking === undefined && this.#now() - this.#lastAtMs >= this.pace.everyMs) this.#looking = this.#look();
    if (this.#looking === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.pace.patienceMs);
    });
    await Promise.race([this.#looking, over]);
    clearTimeout(timer);
  }

  /** What was seen last, and how long ago; `undefined` when nobody knows. */
  seen(): { readonly value: Seen; readonly ageMs: number } | undefined {
    if (this.#seen === undefined) return undefined;
    const ageMs = this.#now() - this.#seen.atMs;
    return ageMs < this.pace.believedMs ? { value: this.#seen.value, ageMs } : undefined;
  }

  async #look(): Promise<void> {
    const atMs = this.#now();
    this.#lastAtMs = atMs;
    try {
      this.#seen = { value: await this.look(), atMs };
    } catch {
      // Whoever is asked tells of its own troubles.
    } finally {
      this.#looking = undefined;
    }
  }
}
