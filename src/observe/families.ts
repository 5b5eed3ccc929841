/** How counts become the families of a scrape. Nothing here runs within a request. */
import type { Metric, Registry } from "prom-client";
import type { Buckets, Count, Table } from "./series.js";

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  /** How the workers of one host are made one. */
  readonly aggregator?: "sum" | "min";
  /** Called once for each scrape. */
  readonly samples: () => Iterable<Sample>;
}

interface Sample {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The label values whose series are there even while nothing has happened. */
export type Known = () => Iterable<readonly [first: string, second?: string]>;

const prefix = "idempotency_gateway_";

export function counter(name: string, help: string, table: Table<Count>, known: Known = () => []): Family {
  return {
    name: prefix + name,
    help,
    type: "counter",
    labels: table.labels,
    samples: () => {
      for (const [first, second] of known()) table.at(first, second);
      return values(table, (count) => count.value);
    },
  };
}

/** How many observations a histogram has, as a counter beside it. */
export function countOf(name: string, help: string, table: Table<Buckets>, known: Known): Family {
  return {
    name: prefix + name,
    help,
    type: "counter",
    labels: table.labels,
    samples: function* () {
      for (const labels of unseen(table, known())) yield { labels, value: 0 };
      yield* values(table, (buckets) => buckets.total);
    },
  };
}

/** Their histogram would be a score of series each, so that only their count stands at zero. */
function* unseen(table: Table<Buckets>, known: ReturnType<Known>): Generator<Record<string, string>> {
  for (const [first, second] of known) if (!table.has(first, second)) yield table.labelled(first, second);
}

/** What is not known any more leaves the gauge as soon as it stands at nothing. */
export function gauge(name: string, help: string, table: Table<Count>, known: Known): Family {
  return {
    name: prefix + name,
    help,
    type: "gauge",
    labels: table.labels,
    samples: () => {
      const expected = new Set(Array.from(known(), ([first]) => first));
      for (const first of expected) table.at(first);
      for (const { first, cell } of [...table.cells()]) {
        if (cell.value === 0 && !expected.has(first)) table.drop(first);
      }
      return values(table, (count) => count.value);
    },
  };
}

export function reading(name: string, help: string, read: () => number, aggregator?: "sum" | "min"): Family {
  const samples = () => [{ labels: {}, value: read() }];
  return { name: prefix + name, help, type: "gauge", labels: [], samples, ...(aggregator ? { aggregator } : {}) };
}

/** A gauge whose readings come with their labels; none is no sample. */
export function facts(
  name: string,
  help: string,
  labels: readonly string[],
  read: () => readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[],
): Family {
  const samples = () => read().map(([labels, value]) => ({ labels, value }));
  return { name: prefix + name, help, type: "gauge", labels, samples };
}

/** Buckets as Prometheus wants them: cumulative, closed by `+Inf`, the sum and the count. */
export function histogram(name: string, help: string, table: Table<Buckets>): Family {
  const full = prefix + name;
  return {
    name: full,
    help,
    type: "histogram",
    labels: table.labels,
    samples: function* () {
      for (const { labels, cell } of table.cells()) {
        let upTo = 0;
        for (const [at, count] of cell.counts.entries()) {
          upTo += count;
          const le = at < cell.bounds.length ? String(cell.bounds[at]) : "+Inf";
          yield { metricName: `${full}_bucket`, labels: { ...labels, le }, value: upTo };
        }
        yield { metricName: `${full}_sum`, labels, value: cell.sum };
        yield { metricName: `${full}_count`, labels, value: upTo };
      }
    },
  };
}

/**
 * A registry asks nothing of a metric but `get`, though its type asks for the whole class. `aggregator` is how
 * prom-client's `AggregatorRegistry` adds up the workers of one host.
 */
export function register(registry: Registry, { name, help, type, samples, aggregator = "sum" }: Family): void {
  const described = { name, help, type, aggregator };
  const metric = { ...described, get: async () => ({ ...described, values: [...samples()] }), reset: () => {} };
  registry.registerMetric(metric as unknown as Metric);
}

function* values<Cell>(table: Table<Cell>, read: (cell: Cell) => number): Generator<Sample> {
  for (const { labels, cell } of table.cells()) yield { labels, value: read(cell) };
}
