/**
 * Counts in plain maps and arrays, filled within requests: prom-client's own counters and histograms hash their labels
 * at every observation, which costs more than all the rest of an event.
 */

/** One cell for each value, or pair of values, of its labels; made when it is first asked for. */
export class Table<Cell> {
  readonly #rows = new Map<string, Map<string, Cell>>();

  constructor(
    private readonly make: () => Cell,
    private readonly names: readonly [first: string, second?: string],
  ) {}

  at(first: string, second = ""): Cell {
    return this.#rows.get(first)?.get(second) ?? this.#add(first, second);
  }

  has(first: string, second = ""): boolean {
    return this.#rows.get(first)?.has(second) ?? false;
  }

  drop(first: string): void {
    this.#rows.delete(first);
  }

  *cells(): Generator<{ readonly first: string; readonly labels: Record<string, string>; readonly cell: Cell }> {
    for (const [first, row] of this.#rows) {
      for (const [second, cell] of row) yield { first, labels: this.labelled(first, second), cell };
    }
  }

  get labels(): readonly string[] {
    return this.names.filter((name) => name !== undefined);
  }

  labelled(first: string, second = ""): Record<string, string> {
    const [a, b] = this.names;
    return b === undefined ? { [a]: first } : { [a]: first, [b]: second };
  }

  #add(first: string, second: string): Cell {
    const row = this.#rows.get(first) ?? new Map<string, Cell>();
    const cell = this.make();
    this.#rows.set(first, row.set(second, cell));
    return cell;
  }
}

export interface Count {
  value: number;
}

/** Observations in buckets with fixed upper bounds, seconds. The last of `counts` is everything above them. */
export class Buckets {
  readonly counts: number[];
  sum = 0;

  constructor(readonly bounds: readonly number[]) {
    this.counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(seconds: number): void {
    const { bounds, counts } = this;
    let cell = 0;
    while (cell < bounds.length && seconds > bounds[cell]!) cell++;
    counts[cell]!++;
    this.sum += seconds;
  }

  get total(): number {
    return this.counts.reduce((sum, count) => sum + count, 0);
  }
}
