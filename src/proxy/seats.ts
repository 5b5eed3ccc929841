/** How many requests of one lane an upstream has at once, whichever way they are sent. */
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
    return () => void this.#waiting.delete(taken);
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
  }
}
