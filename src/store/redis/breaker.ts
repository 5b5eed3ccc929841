export interface BreakerOptions {
  /** Asks the server for anything; settles in bounded time. */
  readonly probe: () => Promise<unknown>;
  /** Unanswered commands in a row that open it. */
  readonly missesToOpen: number;
  /** Pause between two probes, ms. */
  readonly probeEveryMs: number;
  /** Probes unanswered in a row after which `onSilence` is called, once each time. */
  readonly missesToSilence: number;
  readonly onOpen: () => void;
  readonly onClose: () => void;
  readonly onSilence: () => void;
}

/**
 * Spares requests the wait for a server that has stopped answering. A frozen server keeps its connections, so without
 * this each request would spend its whole timeout on finding out what the one before it found out already.
 */
export class Breaker {
  #misses = 0;
  #isOpen = false;
  #isStopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: BreakerOptions) {}

  get isOpen(): boolean {
    return this.#isOpen;
  }

  answered(): void {
    this.#misses = 0;
    if (!this.#isOpen) return;
    this.#isOpen = false;
    clearTimeout(this.#timer);
    this.options.onClose();
  }

  missed(): void {
    if (this.#isOpen || this.#isStopped) return;
    this.#misses += 1;
    if (this.#misses < this.options.missesToOpen) return;
    this.#isOpen = true;
    this.#misses = 0;
    this.options.onOpen();
    // At once: what looked like silence may have been one slow moment that many requests shared.
    void this.#probe();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #probeLater(): void {
    this.#timer = setTimeout(() => void this.#probe(), this.options.probeEveryMs);
  }

  async #probe(): Promise<void> {
    try {
      await this.options.probe();
      this.answered();
    } catch {
      if (!this.#isOpen || this.#isStopped) return;
      this.#misses += 1;
      if (this.#misses % this.options.missesToSilence === 0) this.options.onSilence();
      this.#probeLater();
    }
  }
}
