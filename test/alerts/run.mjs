/**
 * `npm run test:alerts`: the rules of helm/files/alerts.yaml by promtool, with their unit tests; that every alert has a case
 * in which it fires, one in which it does not, and a runbook; that Prometheus can read every expression of the dashboard; that
 * a running gateway tells all that they speak of.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { skipOrFail } from "../../scripts/pinned-file.mjs";
import { findPromtool } from "../../scripts/promtool.mjs";
import { expressions, metricsIn, missingIn, readAlerts, readDashboard } from "./metrics-drift.mjs";

const path = (relative) => fileURLToPath(new URL(`../../${relative}`, import.meta.url));
const { path: promtool, reason } = findPromtool();
if (promtool === undefined) skipOrFail("test:alerts", reason);

const sections = ["## What it means", "## What users see", "## What to look at", "## What to do", "## When it is over"];
const unitTests = parse(readFileSync(path("test/alerts/alerts.promtool.yaml"), "utf8")).tests;
const alerts = readAlerts();

const checks = {
  "promtool accepts the rules": () => runPromtool("check", "rules", path("helm/files/alerts.yaml")),
  "the unit tests of the rules pass": () => runPromtool("test", "rules", path("test/alerts/alerts.promtool.yaml")),
  "every alert fires in one case and keeps quiet in another": () => {
    const cases = unitTests.flatMap(({ alert_rule_test }) => alert_rule_test);
    for (const { alert } of alerts) {
      const expected = cases
        .filter(({ alertname }) => alertname === alert)
        .map(({ exp_alerts }) => exp_alerts.length > 0);
      assert.deepEqual([...new Set(expected)].sort(), [false, true], alert);
    }
  },
  "every alert says how bad it is, what it is, and where to read on": () => {
    for (const { alert, labels, annotations } of alerts) {
      assert.match(labels.severity, /^(critical|warning)$/, alert);
      assert.ok(annotations.summary && annotations.description, alert);
      assert.equal(annotations.runbook_url, `docs/runbooks/${alert}.md`);
    }
  },
  "every alert has a runbook of the same form, and every runbook an alert": () => {
    for (const { alert } of alerts) {
      const text = readFileSync(path(`docs/runbooks/${alert}.md`), "utf8");
      assert.ok(text.startsWith(`# ${alert}\n`), alert);
      assert.deepEqual(text.match(/^## .*$/gm), sections, alert);
    }
    const pages = readdirSync(path("docs/runbooks")).filter((name) => name !== "README.md");
    assert.deepEqual(pages.sort(), alerts.map(({ alert }) => `${alert}.md`).sort());
    const index = readFileSync(path("docs/runbooks/README.md"), "utf8");
    for (const { alert } of alerts) assert.ok(index.includes(`](${alert}.md)`), `${alert} is in the index`);
  },
  "runbooks speak only of metrics and pages that exist": () => {
    const known = new Set(expressions().flatMap(({ expr }) => metricsIn(expr).map(({ name }) => name)));
    for (const page of readdirSync(path("docs/runbooks"))) {
      const text = readFileSync(path(`docs/runbooks/${page}`), "utf8");
      for (const { name } of metricsIn(text)) assert.ok(known.has(name), `${page}: ${name}`);
      for (const [, link] of text.matchAll(/\]\((?!https?:)([^)#]+)/g)) {
        assert.ok(existsSync(path(`docs/runbooks/${link}`)), `${page}: ${link}`);
      }
    }
  },
  "Prometheus can read every expression of the dashboard": () => {
    const folder = mkdtempSync(join(tmpdir(), "alerts-"));
    try {
      const rules = expressions().map(({ expr }, index) => ({ record: `dashboard:expression:${index}`, expr }));
      const file = join(folder, "dashboard.yaml");
      // JSON is YAML.
      writeFileSync(file, JSON.stringify({ groups: [{ name: "dashboard", rules }] }));
      runPromtool("check", "rules", file);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  "the dashboard's panels have one place, one id and one source each": () => {
    const { panels, templating } = readDashboard();
    const ids = panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    const taken = new Set();
    for (const { title, type, gridPos, datasource } of panels) {
      const { x, y, w, h } = gridPos;
      assert.ok(x >= 0 && x + w <= 24, title);
      for (let row = y; row < y + h; row += 1) {
        for (let column = x; column < x + w; column += 1) {
          assert.ok(!taken.has(`${row}:${column}`), `${title} lies on another panel`);
          taken.add(`${row}:${column}`);
        }
      }
      if (type !== "row") assert.deepEqual(datasource, { type: "prometheus", uid: "${" + "datasource}" }, title);
    }
    const variables = templating.list.map(({ name }) => name);
    const used = new Set(
      JSON.stringify(panels)
        .match(/\$(?!__)\{?\w+/g)
        .map((name) => name.replace(/\W/g, "")),
    );
    assert.deepEqual([...used].sort(), variables.sort());
  },
  "promtool accepts what a gateway tells, and it tells all that is spoken of": async () => {
    const text = await scrapeGateway();
    assert.deepEqual(missingIn(text), []);
    const { status, stdout, stderr } = spawnSync(promtool, ["check", "metrics"], { input: text, encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
  },
  "a metric or a label that is not there is found": () => {
    const all = new Set(
      expressions().flatMap(({ expr }) => metricsIn(expr).map(({ name }) => name.replace(/_(bucket|sum|count)$/, ""))),
    );
    const text = [...all].map((name) => `# TYPE ${name} ${/seconds$/.test(name) ? "histogram" : "gauge"}`).join("\n");
    assert.deepEqual(missingIn(text), []);
    assert.match(
      missingIn(text.replace(/.*_store_up .*\n/, ""))[0],
      /StoreDown: idempotency_gateway_store_up is not exposed/,
    );
    const unlabelled = `${text}\nidempotency_gateway_requests_total{route="pay"} 1`;
    assert.match(missingIn(unlabelled)[0], /idempotency_gateway_requests_total has no label result/);
  },
};

let failed = 0;
for (const [title, check] of Object.entries(checks)) {
  try {
    await check();
    process.stdout.write(`ok - ${title}\n`);
  } catch (error) {
    failed += 1;
    process.stdout.write(`not ok - ${title}\n${error.message}\n`);
  }
}
process.stdout.write(failed === 0 ? "test:alerts: all well\n" : `test:alerts: ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);

/** What a gateway's /metrics says after one request that failed. */
async function scrapeGateway() {
  const folder = mkdtempSync(join(tmpdir(), "alerts-"));
  const [port, adminPort] = [await freePort(), await freePort()];
  const config = {
    server: { host: "127.0.0.1", port },
    admin: { port: adminPort },
    store: { type: "embedded", path: join(folder, "data") },
    routes: [{ name: "pay", match: { path: "/pay" }, upstream: { url: "http://127.0.0.1:9" }, idempotency: {} }],
  };
  // JSON is YAML.
  writeFileSync(join(folder, "gateway.yaml"), JSON.stringify(config));
  const args = [path("dist/main.js"), "serve", "--config", join(folder, "gateway.yaml")];
  const gateway = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise((resolve) => gateway.on("exit", resolve));
  const admin = `http://127.0.0.1:${adminPort}`;
  try {
    const isReady = () =>
      fetch(`${admin}/readyz`)
        .then(({ status }) => status === 200)
        .catch(() => false);
    for (let look = 0; look < 300 && !(await isReady()); look++) await pause(100);
    await fetch(`http://127.0.0.1:${port}/pay`, { method: "POST", headers: { "idempotency-key": "a" }, body: "x" });
    return await (await fetch(`${admin}/metrics`)).text();
  } finally {
    gateway.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

function runPromtool(...args) {
  const { status, stdout, stderr } = spawnSync(promtool, args, { encoding: "utf8", timeout: 60_000 });
  assert.equal(status, 0, stdout + stderr);
}
