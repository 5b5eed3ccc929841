/*
 * Collections for what comes and goes with every request.
 *
 * V8 gives a `Map` a new table whenever it is full, also of what was deleted, and lets the old table point to the new one. Once
 * a full garbage collection has made one table old, every later one hangs on it, with all that was in it: each request is then
 * kept, and copied twice, until the next full collection, which begins the same anew. A new `Map` hangs on nothing. So these
 * are begun anew after so many entries, or after as many as they hold.
 */
const renewAfter = 256;

export class TurnoverMap<Key, Value> {
  #map = new Map<Key, Value>();
  #added = 0;

  get size(): number {
    return this.#map.size;
  }

  get(key: Key): Value | undefined {
    return this.#map.get(key);
  }

  set(key: Key, value: Value): void {
    if (this.#added >= renewAfter && this.#added >= this.#map.size) {
      this.#map = new Map(this.#map);
      this.#added = 0;
    }
    this.#added += 1;
    this.#map.set(key, value);
  }

  delete(key: Key): boolean {
    return this.#map.delete(key);
  }

  /** What is there now. What is added meanwhile may be missed, and then what is deleted may be met all the same. */
  [Symbol.iterator](): IterableIterator<[Key, Value]> {
    return this.#map[Symbol.iterator]();
  }
}

/** In the order they were added. */
export class TurnoverSet<Value> {
  readonly #map = new TurnoverMap<Value, true>();

  get size(): number {
    return this.#map.size;
  }

  has(value: Value): boolean {
    return this.#map.get(value) === true;
  }

  add(value: Value): void {
    this.#map.set(value, true);
  }

  delete(value: Value): boolean {
    return this.#map.delete(value);
  }

  /** The oldest, if there is one. */
  first(): Value | undefined {
    for (const [value] of this.#map) return value;
    return undefined;
  }

  *[Symbol.iterator](): IterableIterator<Value> {
    for (const [value] of this.#map) yield value;
  }
}
