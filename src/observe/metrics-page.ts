import type { Family } from "./families.js";
import { hostFamilies } from "./host-metrics.js";
import { Lookout } from "./lookout.js";
import { openTables, workerFamilies } from "./metrics.js";

/** `docs/metrics.md`, from what is registered. */
export function metricsPage(): string {
  const never = () => new Lookout(() => new Promise<never>(() => {}), { everyMs: 0, patienceMs: 0, believedMs: 0 });
  const worker = workerFamilies(openTables(), { routes: () => [], bufferedBytes: () => 0, storeUp: () => true });
  const host = hostFamilies({
    routes: () => [],
    certificates: () => [],
    draining: () => false,
    doubts: never(),
    findings: never(),
  });
  return `# Metrics

\`GET /metrics\` on the admin port, in the format of Prometheus. This page is derived from the code by \`npm run docs\`.
[Alerts](runbooks/README.md) and the dashboard of the chart are built on these and on nothing else; a test compares them with
a running gateway.

## What each process counts

With \`server.workers\` the processes of one host are added up before you see them; \`store_up\` is the worst of them. Over
pods, take the \`sum\` of counters, histograms and gauges, and the \`min\` of \`store_up\`.

${table(worker)}
## What is told once for a gateway

However many workers it has. In doubt and unsafe settings are those of the whole store, and every pod tells them: take the
\`max\`, never the \`sum\`. They are asked for when somebody scrapes, in doubt at most every 30 s and settings at most every
5 minutes, and each is left out while nobody knows it: 90 s after the store was last heard of, and 15 minutes.

${table(host)}
## Labels

- \`route\`: the name of the configured route, \`""\` for a request that no route took. The path is never a label.
- \`result\`: \`executed\` (sent upstream and answered), \`replayed\` (the stored response), \`shared\` (waited for another
  request's result), \`mismatch\` (422), \`in_progress\` and \`outcome_unknown\` (409), \`rejected\` (refused before it ran),
  \`bypassed\` (forwarded unprotected, the store being away), \`unprotected\` (streamed through), \`error\` (unreachable, reset,
  timed out).
- \`cause\`: \`reset\`, \`timeout\`, \`status\`, \`lease_expired\`, \`lock_lost\`, \`store_lost\`.
- \`would\`: \`replay\`, \`wait\`, \`mismatch\`, \`outcome_unknown\`, \`response_not_stored\`, \`reject\`.
- \`operation\`: the store's verb, such as \`claim\`. \`result\` of a reload: \`success\`, \`failure\`.
- \`check\`: \`eviction\`, \`persistence\`, \`replicas\`, as \`doctor\` looks at them. The embedded store has none.

Counters whose labels are known stand at 0 from the first scrape, so that \`rate()\` and \`increase()\` see the first event.
Histograms appear with their first observation. A route that a reload removed leaves the gauges with its last request.

## Of the process

\`process_*\` and \`nodejs_*\` are those of prom-client, event loop lag and garbage collection among them. With
\`server.workers\` the event loop's are averages of the workers, \`process_start_time_seconds\` is the primary's.
`;
}

function table(families: readonly Family[]): string {
  const rows = families.map(
    ({ name, type, labels, help }) =>
      `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help} |\n`,
  );
  return `| metric | type | labels | meaning |\n|---|---|---|---|\n${rows.join("")}`;
}
