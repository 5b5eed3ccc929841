import t from "tap";
import { headerOf, post } from "./client.js";
import { freePort } from "./free-port.js";
import { Gateway } from "./harness.js";
import { answer, Gate, octets, resetAfter, Upstream } from "./upstream.js";

// What becomes of a request by how its one upstream call ended: final, released, or in doubt and decided later.

const upstream = await Upstream.start(t);
const leaving = await Upstream.start(t);
const nobody = `http://127.0.0.1:${await freePort()}`;

const route = (path: string, idempotency: object = {}, to: object = {}) => ({
  name: path.slice(1),
  match: { path },
  upstream: { url: upstream.url, ...to },
  idempotency,
});

const gateway = await Gateway.start(t, {
  routes: [
    route("/plain"),
    route("/slow", {}, { timeout: "500ms" }),
    route("/retry", { inDoubt: "retry" }),
    route("/probe", { inDoubt: "probe", probe: { url: `${upstream.url}/probe-by-key/{key}`, notDone: [404] } }),
    route("/nobody", {}, { url: nobody }),
    route("/leaving", { inDoubt: "retry" }, { url: leaving.url }),
  ],
});

const at = (path: string) => gateway.url + path;

t.test("an answer that means not done frees the key, and those who waited share it", async (t) => {
  for (const status of [307, 308, 401, 403, 407, 408, 421, 425, 429, 521, 523, 525, 526, 530]) {
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
  for (const status of [200, 204, 301, 303, 400, 404, 409, 422, 500, 501, 505, 597]) {
    const before = upstream.count("/plain");
    upstream.on("/plain", ({ response }) => response.writeHead(status).end());
    t.match(await post(at("/plain"), { key: `final-${status}` }), { status, isReplayed: false });
    t.match(await post(at("/plain"), { key: `final-${status}` }), { status, isReplayed: true });
    t.equal(upstream.count("/plain"), before + 1, `${status} is not asked for again`);
  }
});

t.test(
  "an upstream that answers a status of a proxy on the way perhaps did it: in doubt, and its answer is passed on",
  async (t) => {
    for (const status of [460, 499, 502, 503, 504, 520, 522, 524, 527, 561, 598, 599]) {
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
  },
);

t.test("a connection that breaks after the request was sent leaves it in doubt", async (t) => {
  const cuts = {
    reset: resetAfter,
    fin: octets("", "fin"),
    "half a head": octets("HTTP/1.1 201 Crea", "fin"),
    "half a body": octets("HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n12345", "fin"),
    "half a body, reset": octets("HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n12345", "rst"),
    "half a chunked body": octets("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "fin"),
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

t.test("a takeover that could not be sent leaves the earlier doubt as it was", async (t) => {
  leaving.on("/leaving", resetAfter);
  t.match(await post(at("/leaving"), { key: "still-unknown" }), { status: 502, code: "upstream-reset" });
  await leaving.close();
  t.match(await post(at("/leaving"), { key: "still-unknown" }), { status: 502, code: "upstream-unreachable" });
  t.match(await gateway.records("still-unknown"), [{ state: "in_doubt", cause: "reset" }]);
  t.match(await post(at("/leaving"), { key: "still-unknown", body: "other" }), { status: 422, code: "key-reused" });
});

t.test("every doubt is counted under its cause, and no key is in metrics or logs", async (t) => {
  const secrets = /final-200|perhaps-502|who-knows|doubt-done/;
  for (const result of ["outcome_unknown", "error"]) {
    t.ok((await gateway.metric("idempotency_gateway_requests_total", { result })) > 0, result);
  }
  for (const cause of ["reset", "timeout", "status"]) {
    t.ok((await gateway.metric("idempotency_gateway_in_doubt_total", { cause })) > 0, cause);
  }
  t.notMatch(await (await fetch(gateway.adminUrl("/metrics"))).text(), secrets);
  t.notMatch(gateway.process.stdout, secrets);
  t.equal(gateway.process.stderr, "");
});
