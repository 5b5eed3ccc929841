import t from "tap";
import { EventHub, type Events } from "../../src/events.js";
import type { Route } from "../../src/model.js";
import { createMetrics, type Metrics } from "../../src/observe/metrics.js";
import { sampleRoute } from "../sample-config.js";

const request: Events["request"] = {
  route: "pay",
  result: "executed",
  method: "POST",
  path: "/v1/pay",
  status: 201,
  durationMs: 30,
  key: "01234567",
  code: undefined,
  instance: undefined,
  clientAddress: "10.0.0.1",
  traceparent: undefined,
  hungUp: false,
};

function opened(routes: Route[] = [sampleRoute("pay"), sampleRoute("open", null)]) {
  const hub = new EventHub();
  const state = { routes, bufferedBytes: 0, storeUp: true };
  const metrics = createMetrics(hub, {
    routes: () => state.routes,
    bufferedBytes: () => state.bufferedBytes,
    storeUp: () => state.storeUp,
  });
  return { hub, metrics, state };
}

/** The gateway's own series, by name and labels as they are written. */
async function seriesOf(metrics: Metrics): Promise<Map<string, number>> {
  const lines = (await metrics.scrape()).split("\n").filter((line) => line.startsWith("idempotency_gateway_"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

/** What differs between two scrapes, without the buckets. */
async function changesBy(metrics: Metrics, act: () => unknown): Promise<Record<string, number>> {
  const before = await seriesOf(metrics);
  act();
  const after = await seriesOf(metrics);
  const changed = [...after].filter(([name, value]) => value !== (before.get(name) ?? 0) && !name.includes("_bucket{"));
  return Object.fromEntries(changed.map(([name, value]) => [name.replace("idempotency_gateway_", ""), value]));
}

t.test("every metric of the product is there from the first scrape, with its type and a help text", async (t) => {
  const text = await opened().metrics.scrape();
  const expected = {
    requests_total: "counter",
    request_duration_seconds: "histogram",
    upstream_duration_seconds: "histogram",
    store_duration_seconds: "histogram",
    store_errors_total: "counter",
    in_flight: "gauge",
    waiters: "gauge",
    in_doubt_total: "counter",
    lease_lost_total: "counter",
    config_reloads_total: "counter",
    buffered_bytes: "gauge",
    observed_total: "counter",
    wait_duration_seconds: "histogram",
    overhead_duration_seconds: "histogram",
    store_up: "gauge",
  };
  for (const [name, type] of Object.entries(expected)) {
    t.match(text, `# TYPE idempotency_gateway_${name} ${type}\n`);
    t.match(text, new RegExp(`# HELP idempotency_gateway_${name} \\w.{10,}\\.\n`), `help of ${name}`);
  }
  t.match(text, /^nodejs_eventloop_lag_seconds /m);
  t.match(text, /^process_cpu_seconds_total /m);
});

t.test("nothing but a counter ends in _total, and every counter does", async (t) => {
  const { metrics } = opened();
  for (const [, name, type] of (await metrics.scrape()).matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    t.equal(name!.endsWith("_total"), type === "counter", `${name} is a ${type}`);
  }
});

t.test("series whose labels are known stand at zero before anything happens", async (t) => {
  const series = await seriesOf(opened([sampleRoute("pay"), sampleRoute("watch", { mode: "observe" })]).metrics);
  for (const name of [
    'in_flight{route="pay"}',
    'waiters{route="pay"}',
    'lease_lost_total{route="pay"}',
    'requests_total{route="pay",result="bypassed"}',
    'requests_total{route="pay",result="replayed"}',
    'requests_total{route="pay",result="unprotected"}',
    'in_doubt_total{route="pay",cause="lease_expired"}',
    'observed_total{route="watch",would="mismatch"}',
    'config_reloads_total{result="success"}',
    'config_reloads_total{result="failure"}',
    'store_errors_total{operation="claim"}',
    "buffered_bytes",
  ]) {
    t.equal(series.get(`idempotency_gateway_${name}`), 0, name);
  }
  t.notOk(series.has('idempotency_gateway_observed_total{route="pay",would="mismatch"}'));
});

t.test("an unprotected route has none of the series that only a protected one can move", async (t) => {
  const names = [...(await seriesOf(opened().metrics)).keys()];
  t.strictSame(
    names.filter((name) => name.includes('route="open"')),
    [
      ...["unprotected", "rejected", "error"].map(
        (result) => `idempotency_gateway_requests_total{route="open",result="${result}"}`,
      ),
      'idempotency_gateway_upstream_retries_total{route="open"}',
    ],
  );
});

t.test("each event moves exactly the metrics named for it", async (t) => {
  const { hub, metrics, state } = opened();
  const moves = (act: () => unknown) => changesBy(metrics, act);
  t.same(await moves(() => hub.emit("upstreamRetry", { route: "open" })), {
    'upstream_retries_total{route="open"}': 1,
  });

  t.strictSame(await moves(() => hub.emit("request", request)), {
    'requests_total{route="pay",result="executed"}': 1,
    'request_duration_seconds_sum{route="pay",result="executed"}': 0.03,
    'request_duration_seconds_count{route="pay",result="executed"}': 1,
  });
  t.strictSame(await moves(() => hub.emit("request", { ...request, route: null, result: "rejected", durationMs: 1 })), {
    'requests_total{route="",result="rejected"}': 1,
    'request_duration_seconds_sum{route="",result="rejected"}': 0.001,
    'request_duration_seconds_count{route="",result="rejected"}': 1,
  });
  t.strictSame(await moves(() => hub.emit("upstream", { route: "open", durationMs: 2000 })), {
    'upstream_duration_seconds_sum{route="open"}': 2,
    'upstream_duration_seconds_count{route="open"}': 1,
  });
  t.strictSame(await moves(() => hub.emit("store", { operation: "claim", durationMs: 1, failed: false })), {
    'store_duration_seconds_sum{operation="claim"}': 0.001,
    'store_duration_seconds_count{operation="claim"}': 1,
  });
  t.strictSame(await moves(() => hub.emit("store", { operation: "ping", durationMs: 500, failed: true })), {
    'store_duration_seconds_sum{operation="ping"}': 0.5,
    'store_duration_seconds_count{operation="ping"}': 1,
    'store_errors_total{operation="ping"}': 1,
  });
  t.strictSame(await moves(() => hub.emit("flightBegun", { route: "pay" })), { 'in_flight{route="pay"}': 1 });
  t.strictSame(await moves(() => hub.emit("waiting", { route: "pay" })), { 'waiters{route="pay"}': 1 });
  t.strictSame(await moves(() => hub.emit("inDoubt", { route: "pay", cause: "reset", key: "01234567" })), {
    'in_doubt_total{route="pay",cause="reset"}': 1,
  });
  t.strictSame(await moves(() => hub.emit("leaseLost", { route: "pay", key: "01234567" })), {
    'lease_lost_total{route="pay"}': 1,
  });
  t.strictSame(await moves(() => hub.emit("observed", { route: "pay", would: "wait" })), {
    'observed_total{route="pay",would="wait"}': 1,
  });
  t.strictSame(await moves(() => hub.emit("reload", { result: "failure" })), {
    'config_reloads_total{result="failure"}': 1,
  });
  t.strictSame(await moves(() => Object.assign(state, { bufferedBytes: 4096 })), { buffered_bytes: 4096 });
  t.strictSame(await moves(() => hub.emit("fault", { what: "something" })), {});
  t.strictSame(await moves(() => hub.emit("audit", { who: "a", action: "delete", key: "0", result: "absent" })), {});

  hub.emit("flightEnded", { route: "pay" });
  t.strictSame(await moves(() => hub.emit("waited", { route: "pay", durationMs: 250 })), {
    'waiters{route="pay"}': 0,
    'wait_duration_seconds_sum{route="pay"}': 0.25,
    'wait_duration_seconds_count{route="pay"}': 1,
  });
  t.strictSame(await moves(() => hub.emit("request", { ...request, overheadMs: 2 })), {
    'requests_total{route="pay",result="executed"}': 2,
    'request_duration_seconds_sum{route="pay",result="executed"}': 0.06,
    'request_duration_seconds_count{route="pay",result="executed"}': 2,
    'overhead_duration_seconds_sum{route="pay"}': 0.002,
    'overhead_duration_seconds_count{route="pay"}': 1,
  });
  t.strictSame(await moves(() => Object.assign(state, { storeUp: false })), { store_up: 0 });
  const series = await seriesOf(metrics);
  t.equal(series.get('idempotency_gateway_in_flight{route="pay"}'), 0);
  t.equal(series.get('idempotency_gateway_waiters{route="pay"}'), 0);
});

t.test("buckets are cumulative, include their bound, and end with everything", async (t) => {
  const { hub, metrics } = opened();
  for (const durationMs of [1, 5, 5.1, 60_000, 60_001]) hub.emit("request", { ...request, durationMs });
  const series = await seriesOf(metrics);
  const bucket = (le: string) =>
    series.get(`idempotency_gateway_request_duration_seconds_bucket{route="pay",result="executed",le="${le}"}`);
  t.equal(bucket("0.005"), 2);
  t.equal(bucket("0.01"), 3);
  t.equal(bucket("30"), 3);
  t.equal(bucket("60"), 4);
  t.equal(bucket("+Inf"), 5);
  t.equal(series.get('idempotency_gateway_requests_total{route="pay",result="executed"}'), 5);
});

t.test("a route that a reload removed leaves the gauges once its last request has ended", async (t) => {
  const { hub, metrics, state } = opened([sampleRoute("old")]);
  hub.emit("flightBegun", { route: "old" });
  await metrics.scrape();
  state.routes = [sampleRoute("new")];
  let series = await seriesOf(metrics);
  t.equal(series.get('idempotency_gateway_in_flight{route="old"}'), 1);
  t.notOk(series.has('idempotency_gateway_waiters{route="old"}'));
  t.equal(series.get('idempotency_gateway_in_flight{route="new"}'), 0);

  hub.emit("flightEnded", { route: "old" });
  series = await seriesOf(metrics);
  t.notOk(series.has('idempotency_gateway_in_flight{route="old"}'));
});

t.test("a route's name cannot break out of its label", async (t) => {
  const { hub, metrics } = opened([]);
  hub.emit("upstream", { route: 'a"} 1\nfake 2\\', durationMs: 1 });
  const text = await metrics.scrape();
  t.match(text, 'upstream_duration_seconds_count{route="a\\"} 1\\nfake 2\\\\"} 1');
  t.notMatch(text, /^fake/m);
});
