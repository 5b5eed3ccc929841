import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import t from "tap";
import { metricsPage } from "../../src/observe/metrics-page.js";
import { missingIn } from "../alerts/metrics-drift.mjs";
import { post } from "../e2e/client.js";
import { Gateway } from "../e2e/harness.js";
import { resetAfter, Upstream } from "../e2e/upstream.js";
import { redisBinary, startRedis } from "../redis-server.js";

const upstream = await Upstream.start(t);
const routes = [{ name: "pay", match: { path: "/pay" }, upstream: { url: upstream.url }, idempotency: {} }];
const scrape = async (gateway: Gateway) => (await fetch(gateway.adminUrl("/metrics"))).text();
const own = (text: string) =>
  [...text.matchAll(/^# TYPE (idempotency_gateway_\w+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`);

t.test("docs/metrics.md is what the registry says", async (t) => {
  t.equal(readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8"), metricsPage(), "run `npm run docs`");
});

for (const workers of [1, 2]) {
  t.test(`alerts, dashboard and docs speak of nothing that ${workers} worker(s) do not tell`, async (t) => {
    const gateway = await Gateway.start(t, { server: { workers }, routes });
    upstream.on("/pay", resetAfter);
    await post(`${gateway.url}/pay`, { key: "doubtful" });
    await gateway.reachesState("doubtful", "in_doubt");
    const text = await scrape(gateway);
    t.same(missingIn(text), []);
    const documented = [...metricsPage().matchAll(/^\| `(idempotency_gateway_\w+)` \| (\w+) \|/gm)].map(
      ([, name, type]) => `${name} ${type}`,
    );
    t.same(own(text).sort(), documented.sort(), "all of it, and each once");
    for (const [labels, value] of [
      ["store_up", 1],
      ["draining", 0],
      [`in_doubt_total{route="pay",cause="reset"}`, 1],
      [`requests_total{route="pay",result="bypassed"}`, 0],
    ] as const) {
      t.ok(text.includes(`\nidempotency_gateway_${labels} ${value}\n`), `${labels} is ${value}`);
    }
    t.match(text, /\nidempotency_gateway_build_info\{version="[\d.]+",node_version="v[\d.]+"\} 1\n/);
    t.match(text, /\nidempotency_gateway_overhead_duration_seconds_count\{route="pay"\} 1\n/);
    const inDoubt = () => gateway.metric("idempotency_gateway_in_doubt_records", { route: "pay" });
    // Counted before the doubt, perhaps: then it is told half a minute later.
    await gateway.until("the doubt is counted", async () => (await inDoubt()) === 1);
    t.ok((await gateway.metric("idempotency_gateway_in_doubt_oldest_age_seconds", { route: "pay" })) > 0);
    t.same(
      (await scrape(gateway)).match(/^idempotency_gateway_in_doubt_records\{.*$/gm),
      ['idempotency_gateway_in_doubt_records{route="pay"} 1'],
      "once, however many workers there are",
    );
    t.equal((await gateway.stop()).code, 0);
  });
}

t.test("a Redis that may forget is told in the log and as a metric", async (t) => {
  const binary = await redisBinary(t);
  if (binary === undefined) return;
  const redis = await startRedis(binary);
  t.teardown(() => redis.stop());
  const store = { type: "redis", url: redis.url, keyPrefix: `m${randomBytes(4).toString("hex")}:` };
  const gateway = await Gateway.start(t, { store, routes });
  const isTold = () =>
    gateway.process.log().some(({ level, check }) => level === "warn" && check === "redis persistence");
  await gateway.until("the missing append-only file is told", isTold);
  const text = await scrape(gateway);
  t.match(text, 'idempotency_gateway_store_unsafe_setting{check="persistence"} 1\n');
  t.match(text, 'idempotency_gateway_store_unsafe_setting{check="eviction"} 0\n');
  t.match(text, 'idempotency_gateway_in_doubt_records{route="pay"} 0\n');
  t.same(missingIn(text), []);
});
