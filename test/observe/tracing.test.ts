import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { tracingWish } from "../../src/observe/tracing.js";
import { headerOf, post } from "../e2e/client.js";
import { exitOf, GatewayProcess } from "../e2e/gateway-process.js";
import { Gateway, tempFolder } from "../e2e/harness.js";
import { answer, Gate, resetAfter, Upstream } from "../e2e/upstream.js";
import { Collector, type SeenSpan } from "./otlp-collector.js";

const upstream = await Upstream.start(t);
const callersTrace = "0af7651916cd43dd8448eb211c80319c";
const callersSpan = "b7ad6b7169203331";
const traceparent = `00-${callersTrace}-${callersSpan}-01`;

const settings = {
  routes: [
    {
      name: "pay",
      match: { path: "/v1/pay/:account" },
      upstream: { url: upstream.url },
      idempotency: { key: { from: ["header:idempotency-key", "path:account"] } },
    },
    {
      name: "gone",
      match: { path: "/gone" },
      upstream: { url: "http://127.0.0.1:9" },
      idempotency: {},
    },
    { name: "open", match: { path: "/open/*" }, upstream: { url: upstream.url } },
  ],
};

/** Nothing of the environment the tests run in: it may be traced itself. */
const untraced = Object.fromEntries(
  Object.keys(process.env)
    .filter((name) => name.startsWith("OTEL_"))
    .map((name) => [name, ""]),
);

async function start(t: Test, env: Record<string, string>, folder?: string, workers = 1): Promise<Gateway> {
  const gateway = await Gateway.prepare(t, { ...settings, server: { workers } }, folder);
  const args = ["serve", "--config", gateway.configFile];
  gateway.process = new GatewayProcess(args, { cwd: gateway.folder, env: { ...untraced, ...env } });
  await gateway.ready();
  return gateway;
}

const to = (collector: Collector) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  OTEL_BSP_SCHEDULE_DELAY: "20",
  OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
});

const seenBy = (path: string) => (at: number, name: string) => headerOf(upstream.entries(path)[at]!, name);

t.test("a request, its replay elsewhere and who waited for it", async (t) => {
  const collector = await Collector.start(t);
  const folder = await tempFolder(t);
  const a = await start(t, to(collector), folder);
  const b = await start(t, to(collector), folder);
  const gate = new Gate();
  upstream.on("/v1/pay/acct-7", gate.before(answer(201, "secret-answer")));
  const secrets = { key: "secret-key-1", body: "secret-body", headers: { authorization: "Bearer secret-token" } };
  const url = "/v1/pay/acct-7?q=secret-query";
  const first = post(a.url + url, { ...secrets, headers: { ...secrets.headers, traceparent, tracestate: "vendor=1" } });
  await upstream.arrived("/v1/pay/acct-7");
  const waiters = [post(a.url + url, secrets), post(b.url + url, secrets)];
  await a.waiters(1);
  await b.waiters(1);
  gate.open();
  t.match(await first, { status: 201, isReplayed: false });
  for (const waiter of await Promise.all(waiters)) t.match(waiter, { status: 201, isReplayed: true });
  t.match(await post(b.url + url, secrets), { status: 201, isReplayed: true }, "by the store");
  t.match(await post(a.url + url, secrets), { status: 201, isReplayed: true }, "by the near cache, or the store");

  const servers = () => collector.spans.filter(({ kind }) => kind === 2);
  await a.until("five requests are told", () => servers().length === 5);
  const own = servers().find(({ traceId }) => traceId === callersTrace)!;
  const childrenOf = (parent: SeenSpan) => collector.spans.filter(({ parentId }) => parentId === parent.spanId);

  t.equal(own.name, "POST /v1/pay/:account");
  t.equal(own.parentId, callersSpan);
  t.equal(own.traceState, "vendor=1");
  t.match(own.attributes, {
    "http.request.method": "POST",
    "http.route": "/v1/pay/:account",
    "http.response.status_code": 201,
    "url.path": "/v1/pay/:account",
    "url.scheme": "http",
    "server.address": "127.0.0.1",
    "server.port": a.port,
    "idempotency_gateway.result": "executed",
    "idempotency_gateway.route": "pay",
    "idempotency_gateway.record": /^[\da-f]{8}$/,
  });
  t.match(own.resource, { "service.name": "idempotency-gateway", "deployment.environment.name": "test" });
  t.same(own.links, []);
  t.same(
    childrenOf(own)
      .map(({ name, kind, attributes }) => [name, kind, attributes["idempotency_gateway.answer"]])
      .sort(),
    [
      ["POST", 3, undefined],
      ["claim", 1, "won"],
      ["complete", 1, "stored"],
    ],
  );
  const call = childrenOf(own).find(({ kind }) => kind === 3)!;
  t.match(call.attributes, {
    "http.response.status_code": 201,
    "server.port": upstream.port,
    "url.full": `${upstream.url}/v1/pay/:account`,
  });
  t.equal(upstream.count("/v1/pay/acct-7"), 1);
  t.equal(seenBy("/v1/pay/acct-7")(0, "traceparent"), `00-${callersTrace}-${call.spanId}-01`);
  t.equal(seenBy("/v1/pay/acct-7")(0, "tracestate"), "vendor=1");

  const others = servers().filter((span) => span !== own);
  t.same(others.map(({ attributes }) => attributes["idempotency_gateway.result"]).sort(), [
    "replayed",
    "replayed",
    "shared",
    "shared",
  ]);
  for (const other of others) {
    t.same(other.links, [{ traceId: own.traceId, spanId: own.spanId }], "linked to the execution");
    t.not(other.traceId, own.traceId);
    const isShared = other.attributes["idempotency_gateway.result"] === "shared";
    t.equal(childrenOf(other).filter(({ name }) => name === "wait").length, isShared ? 1 : 0);
    t.same(
      childrenOf(other).filter(({ kind }) => kind === 3),
      [],
    );
  }
  for (const octets of collector.raw) t.notMatch(octets.toString("latin1"), /secret|acct-7/);
  t.same([...new Set(collector.paths)], ["POST /v1/traces application/x-protobuf"]);

  const line = a.process.log().find(({ trace_id }) => trace_id === callersTrace);
  t.match(line, { msg: "request", span_id: own.spanId, traceparent });
});

t.test("what is streamed through, and what fails, is told as well", async (t) => {
  const collector = await Collector.start(t);
  const gateway = await start(t, to(collector));
  upstream.on("/v1/pay/acct-8", resetAfter);
  t.equal((await post(`${gateway.url}/open/x?token=secret`, { method: "PUT", headers: { traceparent } })).status, 201);
  t.equal((await post(`${gateway.url}/gone`, { key: "k" })).status, 502);
  t.equal((await post(`${gateway.url}/v1/pay/acct-8`, { key: "k" })).status, 502);
  t.equal((await post(`${gateway.url}/v1/pay/acct-8`, { key: "k" })).status, 409);
  t.equal((await post(`${gateway.url}/nowhere`, { method: "FROBNICATE" }).catch(() => ({ status: 400 }))).status, 400);
  t.equal((await post(`${gateway.url}/nowhere`)).status, 404);
  const servers = () => collector.spans.filter(({ kind }) => kind === 2);
  await gateway.until("five requests are told", () => servers().length === 5);
  const named = (name: string, kind: number) =>
    collector.spans.filter((span) => span.name === name && span.kind === kind);

  const [open] = named("PUT /open/*", 2);
  t.match(open?.attributes, { "idempotency_gateway.result": "unprotected", "http.response.status_code": 201 });
  const [through] = named("PUT", 3);
  t.equal(through?.parentId, open?.spanId);
  t.equal(through?.attributes["url.full"], `${upstream.url}/open/x`);
  t.equal(seenBy("/open/x")(0, "traceparent"), `00-${callersTrace}-${through?.spanId}-01`);

  const [gone] = named("POST /gone", 2);
  t.match(gone, { status: 2, attributes: { "error.type": "upstream-unreachable", "http.response.status_code": 502 } });
  const ofGone = collector.spans.filter(({ parentId }) => parentId === gone?.spanId);
  t.match(ofGone.find(({ kind }) => kind === 3)?.attributes["error.type"], /^(ECONNREFUSED|UND_ERR|TIMEOUT)/);
  t.match(ofGone.map(({ name }) => name).sort(), ["POST", "claim", "release"]);

  const [reset, doubt] = named("POST /v1/pay/:account", 2);
  t.match(reset?.attributes, { "error.type": "upstream-reset" });
  const ofReset = collector.spans.filter(({ parentId }) => parentId === reset?.spanId);
  t.match(ofReset.map(({ name }) => name).sort(), ["POST", "claim", "strand"]);
  t.match(
    ofReset.find(({ kind }) => kind === 3),
    { status: 2, attributes: { "error.type": "reset" } },
  );
  t.equal(doubt?.attributes["idempotency_gateway.problem"], "outcome-unknown");
  t.equal(doubt?.status, 0, "a conflict is the client's");
  t.match(named("POST", 2)[0]?.attributes, { "idempotency_gateway.problem": "no-route", "url.path": "/nowhere" });
  for (const octets of collector.raw) t.notMatch(octets.toString("latin1"), /secret/);
});

for (const workers of [1, 2]) {
  t.test(`what is left at the end is sent before ${workers} worker(s) end`, async (t) => {
    const collector = await Collector.start(t);
    const env = { ...to(collector), OTEL_BSP_SCHEDULE_DELAY: "600000" };
    const gateway = await start(t, env, undefined, workers);
    await post(`${gateway.url}/v1/pay/acct-9`, { key: "k" });
    t.same(collector.spans, []);
    t.equal((await gateway.stop()).code, 0);
    t.same(collector.spans.map(({ name }) => name).sort(), ["POST", "POST /v1/pay/:account", "claim", "complete"]);
  });
}

t.test("a collector that is away, or silent, harms nobody and is told of once", async (t) => {
  const silent = await Collector.start(t, true);
  const patient = await start(t, { ...to(silent), OTEL_BSP_SCHEDULE_DELAY: "600000" });
  t.equal((await post(`${patient.url}/v1/pay/acct-1`, { key: "k" })).status, 201);
  patient.process.signal("SIGTERM");
  t.equal((await exitOf(patient.process, 9_000)).code, 0, "less than the exporter's own patience");
  t.equal(silent.paths.length, 1, "it was tried");

  const gateway = await start(t, {
    OTEL_TRACES_EXPORTER: "otlp",
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://user:secret@127.0.0.1:9/v1/traces",
    OTEL_EXPORTER_OTLP_TIMEOUT: "200",
    OTEL_BSP_SCHEDULE_DELAY: "20",
  });
  const failures = () => gateway.process.log().filter(({ msg }) => String(msg).startsWith("traces cannot be sent"));
  t.equal((await post(`${gateway.url}/v1/pay/acct-2`, { key: "k" })).status, 201);
  await gateway.until("the failure is told", () => failures().length > 0);
  t.equal((await post(`${gateway.url}/v1/pay/acct-2`, { key: "k" })).isReplayed, true);
  t.equal((await gateway.stop()).code, 0);
  t.equal(failures().length, 1);
  t.notMatch(gateway.process.stdout + gateway.process.stderr, /secret/);
});

t.test("the sampler of the environment decides what is sent; the context goes on all the same", async (t) => {
  const collector = await Collector.start(t);
  const gateway = await start(t, { ...to(collector), OTEL_TRACES_SAMPLER: "always_off" });
  t.equal((await post(`${gateway.url}/v1/pay/acct-10`, { key: "k", headers: { traceparent } })).status, 201);
  t.equal((await post(`${gateway.url}/v1/pay/acct-10`, { key: "k" })).isReplayed, true);
  t.equal((await gateway.stop()).code, 0);
  t.same(collector.paths, []);
  t.match(
    seenBy("/v1/pay/acct-10")(0, "traceparent"),
    new RegExp(`^00-${callersTrace}-(?!${callersSpan})[\\da-f]{16}-00$`),
  );
});

t.test("without the variables no part of the SDK is loaded, and the context passes octet by octet", async (t) => {
  const folder = await tempFolder(t);
  const witness = join(folder, "witness.cjs");
  await writeFile(
    witness,
    `process.on("exit", () => {
      const loaded = Object.keys(require.cache).filter((file) => file.includes("@opentelemetry"));
      process.stderr.write("LOADED " + loaded.length + "\\n");
    });`,
  );
  const witnessed = { NODE_OPTIONS: `--require ${witness}` };
  const off = await start(t, witnessed);
  const strange = "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01";
  await post(`${off.url}/v1/pay/acct-11`, { key: "1", headers: { traceparent, tracestate: "a=1,  b=2" } });
  await post(`${off.url}/v1/pay/acct-11`, { key: "2", headers: { traceparent: strange, tracestate: "a=1" } });
  const upstreamSaw = seenBy("/v1/pay/acct-11");
  t.equal(upstreamSaw(0, "traceparent"), traceparent);
  t.equal(upstreamSaw(0, "tracestate"), "a=1,  b=2");
  t.match(upstreamSaw(1, "traceparent"), /^00-[\da-f]{32}-[\da-f]{16}-00$/, "what is none is replaced");
  t.equal(upstreamSaw(1, "tracestate"), undefined);
  t.notOk(off.process.log().some((line) => "trace_id" in line));
  await off.stop();
  t.match(off.process.stderr, /LOADED 0\n/);

  const on = await start(t, { ...witnessed, ...to(await Collector.start(t)) });
  await on.stop();
  t.match(on.process.stderr, /LOADED [1-9]/, "the witness can see it");
});

t.test("what the variables ask for", async (t) => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };
  t.equal(tracingWish({}).kind, "off");
  t.equal(tracingWish({ OTEL_EXPORTER_OTLP_ENDPOINT: "" }).kind, "off", "empty is not set");
  t.equal(tracingWish(endpoint).kind, "on");
  t.equal(tracingWish({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://collector:4318/v1/traces" }).kind, "on");
  t.equal(tracingWish({ OTEL_TRACES_EXPORTER: "otlp" }).kind, "on");
  t.equal(tracingWish({ ...endpoint, OTEL_TRACES_EXPORTER: "none" }).kind, "off");
  t.equal(tracingWish({ ...endpoint, OTEL_SDK_DISABLED: "True" }).kind, "off");
  t.equal(tracingWish({ ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf" }).kind, "on");
  t.match(tracingWish({ ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }), { kind: "refused", why: /grpc/ });
  t.match(tracingWish({ OTEL_TRACES_EXPORTER: "zipkin" }), { kind: "refused", why: /zipkin/ });
});
