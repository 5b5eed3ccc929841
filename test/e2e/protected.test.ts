import type { ServerResponse } from "node:http";
import t from "tap";
import { headerOf, post, type Reply, send } from "./client.js";
import { Gateway } from "./harness.js";
import { answer, Gate, octets, Upstream } from "./upstream.js";

// What a request gets from a protected route, on the embedded store; what may be in doubt is in `doubt.test.ts`.

const upstream = await Upstream.start(t);

const route = (path: string, idempotency: object = {}) => ({
  name: path.slice(1),
  match: { path },
  upstream: { url: upstream.url },
  idempotency,
});

const gateway = await Gateway.start(t, {
  server: { limits: { requestBody: "4KiB" } },
  routes: [
    route("/plain"),
    route("/reject", { concurrency: "reject" }),
    route("/crowded", { maxWaiters: 2 }),
    route("/impatient", { waitTimeout: "300ms" }),
    route("/tenant", { scope: ["header:x-tenant"] }),
    route("/optional", { key: { required: false } }),
    route("/small-store", { response: { maxStored: "1KiB" } }),
    route("/json", { fingerprint: { body: "json", ignore: ["/sentAt"] } }),
    route("/short-lived", { retention: "3s" }),
    route("/omits", { response: { omitHeaders: ["set-cookie"] } }),
    route("/observed", { mode: "observe" }),
    { name: "bare", match: { path: "/*" }, upstream: { url: upstream.url } },
  ],
});

const at = (path: string) => gateway.url + path;
const bodiesOf = (replies: readonly Reply[]) => new Set(replies.map((reply) => reply.text));

t.test("a retry gets the stored answer, byte for byte, and the API is asked once", async (t) => {
  const head =
    "HTTP/1.1 201 Made It\r\nX-Repeat: one\r\nx-other: \xe9\r\nX-Repeat: two\r\nContent-Length: 6\r\nContent-Type: image/x\r\n\r\n";
  upstream.on("/plain", octets(`${head}\x00\xff\x80ab\n`));
  const first = await post(at("/plain?a=1"), { key: "bytes", body: "{}" });
  const second = await post(at("/plain?a=1"), { key: "bytes", body: "{}" });
  t.equal(upstream.count("/plain"), 1);
  t.equal(first.isReplayed, false);
  t.equal(second.isReplayed, true);
  for (const reply of [first, second]) {
    t.equal(reply.status, 201);
    t.equal(reply.body.toString("latin1"), "\x00\xff\x80ab\n");
    const pairs = reply.headers.filter(([name]) => /^x-(repeat|other)$/i.test(name));
    t.same(pairs, [
      ["X-Repeat", "one"],
      ["x-other", "\xe9"],
      ["X-Repeat", "two"],
    ]);
  }
  t.match(headerOf(second, "age"), /^\d+$/);
  t.equal(headerOf(first, "age"), undefined);
  const [record] = await gateway.records("bytes");
  t.match(record, { state: "completed", status: 201, attempts: 1, route: "plain", cause: null });
});

t.test("a key is bound to method, path, query and body, whatever the record's state", async (t) => {
  const gate = new Gate();
  upstream.on("/plain", gate.before(answer(201, "first")));
  const before = upstream.count("/plain");
  const running = post(at("/plain"), { key: "bound", body: "1" });
  await upstream.arrived("/plain", before + 1);
  const inFlight = await post(at("/plain"), { key: "bound", body: "2" });
  t.match(inFlight, { status: 422, code: "key-reused" });
  gate.open();
  t.equal((await running).text, "first");
  for (const other of [
    post(at("/plain"), { key: "bound", body: "2" }),
    post(at("/plain?x"), { key: "bound", body: "1" }),
    post(at("/plain"), { key: "bound", body: "1", method: "PATCH" }),
  ]) {
    t.match(await other, { status: 422, code: "key-reused" });
  }
  t.match(await post(at("/plain"), { key: "bound", body: "1" }), { status: 201, text: "first", isReplayed: true });
  t.equal(upstream.count("/plain"), before + 1);
});

t.test("fifty concurrent duplicates are one call and fifty equal answers", async (t) => {
  const gate = new Gate();
  upstream.on(
    "/plain",
    gate.before(({ response, nth }) => response.writeHead(201).end(`execution ${nth}`)),
  );
  const before = upstream.count("/plain");
  const all = Array.from({ length: 50 }, () => post(at("/plain"), { key: "fifty", body: "x" }));
  await gateway.waiters(49);
  gate.open();
  const replies = await Promise.all(all);
  t.equal(bodiesOf(replies).size, 1);
  t.equal(replies.filter((reply) => reply.isReplayed).length, 49);
  t.equal(upstream.count("/plain"), before + 1);
});

t.test("who may not wait is told that the request is being processed", async (t) => {
  const gate = new Gate();
  const reached: Promise<void>[] = [];
  for (const path of ["/reject", "/crowded", "/impatient"]) {
    upstream.on(path, gate.before(answer(201, "done")));
    reached.push(upstream.arrived(path));
  }
  const first = ["/reject", "/crowded", "/impatient"].map((path) => post(at(path), { key: "busy" }));
  await Promise.all(reached);
  const busy = { status: 409, code: "in-progress" };
  const refused = await post(at("/reject"), { key: "busy" });
  t.match(refused, busy, "concurrency: reject");
  t.match(headerOf(refused, "retry-after"), /^\d+$/);
  t.match(JSON.parse(refused.text), { retryable: true, detail: /processed/, error: { type: "idempotency_error" } });
  t.match(await post(at("/impatient"), { key: "busy" }), busy, "waitTimeout is over");
  const seated = [1, 2].map(() => post(at("/crowded"), { key: "busy" }));
  await gateway.waiters(2);
  t.match(await post(at("/crowded"), { key: "busy" }), busy, "too many wait");
  gate.open();
  for (const reply of await Promise.all([...first, ...seated])) t.match(reply, { status: 201, text: "done" });
  for (const path of ["/reject", "/crowded", "/impatient"]) t.equal(upstream.count(path), 1, `${path}: one call`);
});

t.test("a client that hangs up loses nothing: the call goes on and is stored", async (t) => {
  const gate = new Gate();
  upstream.on("/plain", gate.before(answer(201, "for nobody")));
  const before = upstream.count("/plain");
  const first = send(at("/plain"), { key: "gone" });
  await upstream.arrived("/plain", before + 1);
  first.hangUp();
  await t.rejects(first.reply);
  gate.open();
  t.match(await post(at("/plain"), { key: "gone" }), { status: 201, text: "for nobody", isReplayed: true });
  t.equal(upstream.count("/plain"), before + 1);
});

t.test("what is too large to keep, or endless, is streamed once and never run again", async (t) => {
  const large = Buffer.alloc(64 * 1024, "large ");
  const kinds = {
    declared: answer(201, large),
    chunked: ({ response }: { response: ServerResponse }) => response.writeHead(201).end(large),
    events: ({ response }: { response: ServerResponse }) =>
      response.writeHead(200, { "content-type": "text/event-stream" }).end("data: 1\n\n"),
  };
  for (const [key, behaviour] of Object.entries(kinds)) {
    const before = upstream.count("/small-store");
    upstream.on("/small-store", behaviour);
    const first = await post(at("/small-store"), { key });
    t.ok(key === "events" ? first.text === "data: 1\n\n" : first.body.equals(large), `${key}: all of it came`);
    await gateway.reachesState(key, "not_replayable");
    t.match(await post(at("/small-store"), { key }), { status: 409, code: "response-not-stored" });
    t.equal(upstream.count("/small-store"), before + 1);
  }
});

t.test("requests that cannot be protected are refused before anything is sent", async (t) => {
  const before = upstream.journal.length;
  const plain = at("/plain");
  const refused = async (url: string, options: Parameters<typeof post>[1], status: number, code: string) => {
    const reply = await post(url, options);
    t.match(reply, { status, code });
    t.equal(headerOf(reply, "link"), `</.well-known/idempotency#${code}>; rel="describedby"`);
  };
  await refused(plain, {}, 400, "key-missing");
  await refused(plain, { key: "" }, 400, "key-missing");
  await refused(plain, { key: "x".repeat(256) }, 400, "key-invalid");
  await refused(plain, { key: "a b" }, 400, "key-invalid");
  await refused(plain, { headers: { "idempotency-key": ["a", "b"] } }, 400, "key-invalid");
  await refused(at("/tenant"), { key: "k" }, 400, "scope-missing");
  await refused(plain, { key: "k", body: "x".repeat(5000) }, 413, "body-too-large");
  await refused(at("/plain/../plain"), { key: "k" }, 400, "request-ambiguous");
  await refused(at("//plain"), { key: "k" }, 400, "request-ambiguous");
  await refused(at("/plain%2f"), { key: "k" }, 400, "request-ambiguous");
  t.equal(upstream.journal.length, before);
  t.equal(await gateway.recordState("k"), "absent");
});

t.test("no spelling of a protected path slips past it", async (t) => {
  for (const path of ["/plain/", "/PLAIN", "/%70lain", "/plain;v=1"]) {
    t.match(await post(at(path), {}), { status: 400, code: "key-missing" }, path);
  }
});

t.test("whose key it is belongs to it: scopes never meet", async (t) => {
  const tenants = ["a", "b"].map((tenant) => ({ key: "shared", headers: { "x-tenant": tenant } }));
  for (const options of tenants) t.match(await post(at("/tenant"), options), { status: 201, isReplayed: false });
  for (const options of tenants) t.match(await post(at("/tenant"), options), { status: 201, isReplayed: true });
  t.equal(upstream.count("/tenant"), 2);
  upstream.on("/plain", answer(201, "mine"));
  const before = upstream.count("/plain");
  for (const authorization of ["Bearer a", "Bearer b"]) {
    await post(at("/plain"), { key: "by-token", headers: { authorization } });
  }
  await post(at("/plain"), { key: "by-token" });
  t.equal(upstream.count("/plain"), before + 3, "authorization is the scope by default, and may be absent");
});

t.test("a key that is not required lets requests without one pass, unprotected", async (t) => {
  for (let turn = 0; turn < 2; turn++) t.match(await post(at("/optional")), { status: 201, isReplayed: false });
  t.equal(upstream.count("/optional"), 2);
  for (let turn = 0; turn < 2; turn++) await post(at("/optional"), { key: "one" });
  t.equal(upstream.count("/optional"), 3);
});

t.test("fingerprint.body: json looks past the order of members, white space and what is ignored", async (t) => {
  const bodies = ['{"a":1,"b":9007199254740993,"sentAt":1}', '{ "b": 9007199254740993, "sentAt": 2, "a": 1 }'];
  for (const body of bodies) t.equal((await post(at("/json"), { key: "same", body })).status, 201);
  t.equal(upstream.count("/json"), 1);
  t.equal(upstream.entries("/json")[0]?.body.toString(), bodies[0]);
  const near = '{"a":1,"b":9007199254740992}';
  t.match(await post(at("/json"), { key: "same", body: near }), { status: 422 });
});

t.test("a response is kept for its retention and no longer", async (t) => {
  t.equal((await post(at("/short-lived"), { key: "brief" })).isReplayed, false);
  t.equal((await post(at("/short-lived"), { key: "brief" })).isReplayed, true);
  await gateway.reachesState("brief", "absent");
  t.equal((await post(at("/short-lived"), { key: "brief" })).isReplayed, false);
  t.equal(upstream.count("/short-lived"), 2);
});

t.test("headers that must not be stored are not replayed", async (t) => {
  upstream.on("/omits", answer(201, "", { "set-cookie": "session=1", "x-kept": "yes" }));
  t.equal(headerOf(await post(at("/omits"), { key: "cookie" }), "set-cookie"), "session=1");
  const replay = await post(at("/omits"), { key: "cookie" });
  t.equal(headerOf(replay, "set-cookie"), undefined);
  t.equal(headerOf(replay, "x-kept"), "yes");
});

t.test("mode: observe changes nothing and counts what it would have done", async (t) => {
  for (let turn = 0; turn < 3; turn++) {
    t.match(await post(at("/observed"), { key: "watched" }), { status: 201, isReplayed: false });
  }
  t.equal((await post(at("/observed"))).status, 201);
  t.equal(upstream.count("/observed"), 4);
  const observed = "idempotency_gateway_observed_total";
  await gateway.until("two replays counted", async () => (await gateway.metric(observed, { would: "replay" })) === 2);
});

t.test("every result is counted under its own name, and no key is in metrics or logs", async (t) => {
  const secrets = /close-delimited|by-token|fifty|Bearer a/;
  const requests = "idempotency_gateway_requests_total";
  for (const result of ["executed", "replayed", "shared", "mismatch", "in_progress", "rejected", "unprotected"]) {
    t.ok((await gateway.metric(requests, { result })) > 0, result);
  }
  t.notMatch(await (await fetch(gateway.adminUrl("/metrics"))).text(), secrets);
  t.notMatch(gateway.process.stdout, secrets);
  // Of one route alone the retention is too short on purpose.
  t.match(gateway.process.stderr, /^warning: \S+ routes\[\d+\]\.idempotency\.retention: .*\n$/);
});
