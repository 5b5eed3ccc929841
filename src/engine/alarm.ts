/**
 * Wakes one who looks at a record again and again until something has become of it. The record is watched once, from
 * the first wait on: a new watch for each look would be confirmed, and so wake, each time. What rings between two waits
 * is not lost: the next one ends at once.
 */
export class Alarm {
  #hasRung = false;
  #wake: (() => void) | undefined;
  #stop: (() => void) | undefined;

  constructor(private readonly watch: (ring: () => void) => () => void) {}

  readonly ring = (): void => {
    this.#hasRung = true;
    this.#wake?.();
  };

  /** Resolves when it has rung since the last time, and after `atMostMs` ± a quarter. */
  async wait(atMostMs: number): Promise<void> {
    this.#stop ??= this.watch(this.ring);
    if (!this.#hasRung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, atMostMs * (0.75 + Math.random() / 2));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    this.#hasRung = false;
  }

  close(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}
