import t from "tap";
import { headerOf, post, type Reply, send } from "./client.js";
import { freePort } from "./free-port.js";
import { Gateway } from "./harness.js";
import { answer, Gate, octets, resetAfter, Upstream } from "./upstream.js";

// What PRODUCT calls "what a request gets", row by row, on the embedded store.

const upstream = await Upstream.start(t);
const nobody = `http://127.0.0.1:${await freePort()}`;

const route = (path: string, idempotency: object = {}, to: object = {}) => ({
  name: path.slice(1),
  match: { path },
  upstream: { url: upstream.url, ...to },
  idempotency: { lease: "500ms", ...idempotency },
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
    route("/slow", {}, { timeout: "400ms" }),
    route("/retry", { inDoubt: "retry" }),
    route("/probe", { inDoubt: "probe", probe: { url: `${upstream.url}/probe-by-key/{key}` } }),
    route("/nobody", {}, { url: nobody }),
    route("/small-store", { response: { maxStored: "1KiB" } }),
    route("/json", { fingerprint: { body: "json", ignore: ["/sentAt"] } }),
    route("/short-lived", { retention: "1s" }),
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

t.test("an answer that means not done frees the key, and those who waited share it", async (t) => {
  for (const status of [401, 403, 407, 408, 425, 429, 503]) {
    const gate = new Gate();
    const before = upstream.count("/plain");
    upstream.on("/plain", gate.before(answer(status, "not now", { "retry-after": "7" })));
    const both = [1, 2].map(() => post(at("/plain"), { key: `released-${status}` }));
    await gateway.waiters(1);
    gate.open();
    for (const reply of await Promise.all(both)) t.match(reply, { status, text: "not now" });
    t.equal(await gateway.recordState(`released-${status}`), "absent");
    upstream.on("/plain", answer(201, "now"));
    t.match(await post(at("/plain"), { key: `released-${status}` }), { status: 201, isReplayed: false });
    t.equal(upstream.count("/plain"), before + 2);
  }
});

t.test("every other answer is final, errors too", async (t) => {
  for (const status of [200, 204, 301, 400, 404, 409, 422, 500, 501, 599]) {
    const before = upstream.count("/plain");
    upstream.on("/plain", ({ response }) => response.writeHead(status).end());
    t.match(await post(at("/plain"), { key: `final-${status}` }), { status, isReplayed: false });
    t.match(await post(at("/plain"), { key: `final-${status}` }), { status, isReplayed: true });
    t.equal(upstream.count("/plain"), before + 1, `${status} is not asked for again`);
  }
});

t.test("an upstream that answers 502 or 504 perhaps did it: in doubt, and its answer is passed on", async (t) => {
  for (const status of [502, 504]) {
    const gate = new Gate();
    const before = upstream.count("/plain");
    upstream.on("/plain", gate.before(answer(status, "behind me")));
    const both = [1, 2].map(() => post(at("/plain"), { key: `perhaps-${status}` }));
    await gateway.waiters(1);
    gate.open();
    for (const reply of await Promise.all(both)) t.match(reply, { status, text: "behind me" });
    const later = await post(at("/plain"), { key: `perhaps-${status}` });
    t.match(later, { status: 409, code: "outcome-unknown" });
    t.equal(headerOf(later, "retry-after"), undefined);
    t.match(await gateway.records(`perhaps-${status}`), [{ state: "in_doubt", cause: "status" }]);
    t.equal(upstream.count("/plain"), before + 1);
  }
});

t.test("a connection that breaks after the request was sent leaves it in doubt", async (t) => {
  const cuts = {
    reset: resetAfter,
    fin: octets("", "fin"),
    "half a head": octets("HTTP/1.1 201 Crea", "fin"),
    "half a body": octets("HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n12345", "fin"),
    "half a body, reset": octets("HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n12345", "rst"),
    "half a chunked body": octets("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "fin"),
    "no end known, reset": octets("HTTP/1.1 201 Created\r\n\r\n12345", "rst"),
    "not HTTP": octets("SSH-2.0-what\r\n\r\n"),
  };
  for (const [name, cut] of Object.entries(cuts)) {
    const before = upstream.count("/plain");
    upstream.on("/plain", cut);
    const key = `cut-${name.replaceAll(/\W/g, "-")}`;
    const first = await post(at("/plain"), { key });
    t.match(first, { status: 502, code: "upstream-reset" }, name);
    t.equal(JSON.parse(first.text).retryable, false);
    t.match(await post(at("/plain"), { key }), { status: 409, code: "outcome-unknown" }, `${name}, the retry`);
    t.equal(upstream.count("/plain"), before + 1, `${name}: one call`);
    t.match(await gateway.records(key), [{ state: "in_doubt", cause: "reset" }]);
  }
});

t.test("an answer that ends with its connection is whole, and stored", async (t) => {
  upstream.on("/plain", octets("HTTP/1.1 201 Created\r\n\r\n12345", "fin"));
  t.match(await post(at("/plain"), { key: "close-delimited" }), { status: 201, text: "12345" });
  t.match(await post(at("/plain"), { key: "close-delimited" }), { text: "12345", isReplayed: true });
});

t.test("silence past the timeout leaves it in doubt, for those who waited as well", async (t) => {
  upstream.on("/slow", () => {});
  const both = await Promise.all([1, 2].map(() => post(at("/slow"), { key: "silent" })));
  for (const reply of both) t.match(reply, { status: 504, code: "upstream-timeout" });
  t.match(await post(at("/slow"), { key: "silent" }), { status: 409, code: "outcome-unknown" });
  t.match(await gateway.records("silent"), [{ state: "in_doubt", cause: "timeout" }]);
  upstream.on("/slow", ({ response }) => response.writeHead(200, { "content-length": "5" }).write("12"));
  t.match(
    await post(at("/slow"), { key: "stalls" }),
    { status: 504, code: "upstream-timeout" },
    "the head came, the body stalls",
  );
  t.equal(upstream.count("/slow"), 2);
});

t.test("an operator resolves what is in doubt, either way", async (t) => {
  upstream.on("/plain", resetAfter);
  const before = upstream.count("/plain");
  await Promise.all(["doubt-done", "doubt-not-done"].map((key) => post(at("/plain"), { key })));
  const [done] = await gateway.records("doubt-done");
  const response = { status: 201, headers: { "X-By": ["a", "b"] }, body: "as it was" };
  const path = (record: { id: string } | undefined) => `/v1/records/${record?.id}/resolve`;
  t.equal((await gateway.admin("POST", path(done), { outcome: "done", response })).status, 200);
  const replay = await post(at("/plain"), { key: "doubt-done" });
  t.match(replay, { status: 201, text: "as it was", isReplayed: true });
  t.equal(replay.headers.filter(([name]) => name === "X-By").length, 2);
  t.equal((await gateway.admin("POST", path(done), { outcome: "not-done" })).status, 409, "it is decided already");
  const [notDone] = await gateway.records("doubt-not-done");
  t.equal((await gateway.admin("POST", path(notDone), { outcome: "not-done" })).status, 200);
  upstream.on("/plain", answer(201, "second try"));
  t.match(await post(at("/plain"), { key: "doubt-not-done" }), { status: 201, text: "second try", isReplayed: false });
  t.equal(upstream.count("/plain"), before + 3);
});

t.test("inDoubt: retry lets exactly one take over", async (t) => {
  upstream.on("/retry", resetAfter);
  t.match(await post(at("/retry"), { key: "again" }), { status: 502 });
  const gate = new Gate();
  upstream.on("/retry", gate.before(answer(201, "second")));
  const all = Array.from({ length: 5 }, () => post(at("/retry"), { key: "again" }));
  await gateway.waiters(4);
  gate.open();
  for (const reply of await Promise.all(all)) t.match(reply, { status: 201, text: "second" });
  t.equal(upstream.count("/retry"), 2);
  t.match(await gateway.records("again"), [{ state: "completed", attempts: 2 }]);
});

t.test("inDoubt: probe asks the API, once, and does as it says", async (t) => {
  upstream.on("/probe", resetAfter);
  for (const key of ["happened", "never", "who-knows"]) await post(at("/probe"), { key });
  const gate = new Gate();
  upstream.on("/probe-by-key/happened", gate.before(answer(200, "it is there", { "x-probe": "yes" })));
  upstream.on("/probe-by-key/never", answer(404));
  upstream.on("/probe-by-key/who-knows", answer(500));
  upstream.on("/probe", answer(201, "now"));
  const all = Array.from({ length: 5 }, () => post(at("/probe"), { key: "happened" }));
  await gateway.waiters(4);
  gate.open();
  for (const reply of await Promise.all(all)) t.match(reply, { status: 200, text: "it is there", isReplayed: true });
  t.equal(upstream.count("/probe-by-key/happened"), 1);
  t.match(await post(at("/probe"), { key: "happened" }), { status: 200, text: "it is there", isReplayed: true });
  t.match(await post(at("/probe"), { key: "who-knows" }), { status: 409, code: "outcome-unknown" });
  t.match(await post(at("/probe"), { key: "who-knows" }), { status: 409, code: "outcome-unknown" });
  t.equal(upstream.count("/probe"), 3, "nothing was sent again so far");
  t.match(await post(at("/probe"), { key: "never" }), { status: 201, text: "now", isReplayed: false });
  t.equal(upstream.count("/probe"), 4);
});

t.test("an upstream that is not there is no doubt: the key is free", async (t) => {
  const first = await post(at("/nobody"), { key: "free" });
  t.match(first, { status: 502, code: "upstream-unreachable" });
  t.equal(JSON.parse(first.text).retryable, true);
  t.equal(await gateway.recordState("free"), "absent");
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
    chunked: ({ response }: { response: import("node:http").ServerResponse }) => response.writeHead(201).end(large),
    events: ({ response }: { response: import("node:http").ServerResponse }) =>
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
  await refused(at("/pla%2fin"), { key: "k" }, 400, "request-ambiguous");
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
  const requests = "idempotency_gateway_requests_total";
  for (const result of ["executed", "replayed", "shared", "mismatch", "in_progress", "outcome_unknown", "rejected"]) {
    t.ok((await gateway.metric(requests, { result })) > 0, result);
  }
  for (const result of ["unprotected", "error"]) t.ok((await gateway.metric(requests, { result })) > 0, result);
  for (const cause of ["reset", "timeout", "status"]) {
    t.ok((await gateway.metric("idempotency_gateway_in_doubt_total", { cause })) > 0, cause);
  }
  const everything = gateway.process.stdout + gateway.process.stderr;
  t.notMatch(everything, /final-200|perhaps-502|who-knows|Bearer a/);
  t.equal(gateway.process.stderr, "");
});
