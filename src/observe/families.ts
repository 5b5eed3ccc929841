/** How counts become the families of a scrape. Nothing here runs within a request. */
import type { Metric, Registry } from "prom-client";
import type { Buckets, Count, Table } from "./series.js";

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
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
    samples: () => {
      for (const [first, second] of known()) table.at(first, second);
      return values(table, (count) => count.value);
    },
  };
}

/** How many observations a histogram has, as a counter beside it. */
export function countOf(name: string, help: string, table: Table<Buckets>): Family {
  return { name: prefix + name, help, type: "counter", samples: () => values(table, (buckets) => buckets.total) };
}

/** What is not known any more leaves the gauge as soon as it stands at nothing. */
export function gauge(name: string, help: string, table: Table<Count>, known: Known): Family {
  return {
    name: prefix + name,
    help,
    type: "gauge",
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

export function reading(name: string, help: string, read: () => number): Family {
  return { name: prefix + name, help, type: "gauge", samples: () => [{ labels: {}, value: read() }] };
}

/** Buckets as Prometheus wants them: cumulative, closed by `+Inf`, the sum and the count. */
export function histogram(name: string, help: string, table: Table<Buckets>): Family {
  const full = prefix + name;
  return {
    name: full,
    help,
    type: "histogram",
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
export function register(registry: Registry, { name, help, type, samples }: Family): void {
  const described = { name, help, type, aggregator: "sum" };
  const metric = { ...described, get: async () => ({ ...described, values: [...samples()] }), reset: () => {} };
  registry.registerMetric(metric as unknown as Metric);
}

function* values<Cell>(table: Table<Cell>, read: (cell: Cell) => number): Generator<Sample> {
  for (const { labels, cell } of table.cells()) yield { labels, value: read(cell) };
}
