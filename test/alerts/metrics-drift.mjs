/**
 * `node test/alerts/metrics-drift.mjs URL|FILE`: whether every metric, and every label it is chosen or grouped by, that the
 * alerts and the dashboard speak of is in that /metrics. Also for import, where a test has a live gateway at hand.
 */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { parse } from "yaml";

const files = new URL("../../helm/files/", import.meta.url);

export const readAlerts = () =>
  parse(readFileSync(new URL("alerts.yaml", files), "utf8")).groups.flatMap(({ rules }) => rules);
export const readDashboard = () => JSON.parse(readFileSync(new URL("dashboard.json", files), "utf8"));

/** `{ where, expr }` of every expression; Grafana's variables are filled in so that Prometheus can read them. */
export function expressions() {
  const dashboard = readDashboard();
  const fill = (expr) => expr.replaceAll("$__rate_interval", "5m").replace(/\$\{?\w+\}?/g, ".*");
  const panels = dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ where: `panel "${title}"`, expr: fill(expr) })),
  );
  return [...readAlerts().map(({ alert, expr }) => ({ where: `alert ${alert}`, expr })), ...panels];
}

/** Names of the gateway's and of node's own metrics in a PromQL expression, with the labels of their matchers. */
export function metricsIn(expr) {
  const found = [];
  for (const [, name, matchers = ""] of expr.matchAll(
    /\b((?:idempotency_gateway|nodejs|process)_\w+)(?:\{([^}]*)\})?/g,
  )) {
    found.push({ name, labels: [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label) });
  }
  return found;
}

/** What Prometheus adds to every sample of a target. */
const targetLabels = new Set(["namespace", "job", "instance", "pod", "service", "endpoint", "container"]);

/** A line for everything that is spoken of and is not in `text`; none when all is well. */
export function missingIn(text) {
  const exposed = readExposition(text);
  const missing = new Set();
  for (const { where, expr } of expressions()) {
    for (const { name, labels } of metricsIn(expr)) {
      const base = name.replace(/_(bucket|sum|count)$/, "");
      const family = exposed.get(name) ?? (exposed.get(base)?.type === "histogram" ? exposed.get(base) : undefined);
      if (family === undefined) missing.add(`${where}: ${name} is not exposed`);
      // A family without a sample yet shows no labels.
      else if (family.labels.size > 0) {
        for (const label of labels) {
          if (!targetLabels.has(label) && !family.labels.has(label))
            missing.add(`${where}: ${name} has no label ${label}`);
        }
      }
    }
  }
  return [...missing];
}

function readExposition(text) {
  const families = new Map();
  for (const line of text.split("\n")) {
    const [, declared, type] = /^# TYPE (\w+) (\w+)/.exec(line) ?? [];
    if (declared !== undefined) families.set(declared, { type, labels: new Set() });
    const [, name, inside = ""] = /^(\w+)(?:\{(.*)\})? \S+/.exec(line) ?? [];
    if (name === undefined) continue;
    const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ""));
    for (const [, label] of inside.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)) family?.labels.add(label);
  }
  return families;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const source = process.argv[2];
  if (source === undefined) {
    process.stderr.write("usage: node test/alerts/metrics-drift.mjs URL|FILE\n");
    process.exit(2);
  }
  const text = /^https?:/.test(source)
    ? await (await fetch(source, { signal: AbortSignal.timeout(10_000) })).text()
    : readFileSync(source, "utf8");
  const missing = missingIn(text);
  for (const line of missing) process.stdout.write(`${line}\n`);
  process.stdout.write(missing.length === 0 ? "alerts and dashboard speak of nothing else\n" : "");
  process.exit(missing.length === 0 ? 0 : 1);
}
