import type { RecordKey } from "../../model.js";

const idBytes = 32;

/** Who wants to know when a record may have changed. */
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

  /** The ids of records that another process wrote, one after the other. */
  wakeAll(ids: Buffer): void {
    for (let from = 0; from < ids.length && this.any; from += idBytes)
      this.wake(ids.toString("hex", from, from + idBytes));
  }
}
