import type { RecordKey } from "../../model.js";

/** What is called when a record may have changed. */
export class Watchers {
  readonly #wakes = new Map<string, Set<() => void>>();

  get any(): boolean {
    return this.#wakes.size > 0;
  }

  add(key: RecordKey, wake: () => void): () => void {
    // Each call gets an entry of its own, also when one function watches twice.
    const entry = () => wake();
    const wakes = this.#wakes.get(key);
    if (wakes === undefined) this.#wakes.set(key, new Set([entry]));
    else wakes.add(entry);
    return () => {
      const present = this.#wakes.get(key);
      if (present?.delete(entry) && present.size === 0) this.#wakes.delete(key);
    };
  }

  wake(key: string): void {
    const wakes = this.#wakes.get(key);
    if (wakes !== undefined) for (const wake of [...wakes]) wake();
  }

  count(key: string): number {
    return this.#wakes.get(key)?.size ?? 0;
  }
}
