import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { headerOf, post } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";

// What one connection carries: several requests, broken ones, upgrades, and its end.

const upstream = await Upstream.start(t);
const settings = {
  server: { limits: { requestBody: "64KiB", requestTimeout: "1s", headersTimeout: "1s" } },
  routes: [guarded("/pay", upstream.url), guarded("/other", upstream.url), open("/*", upstream.url)],
};
const gateway = await SampleGateway.start(t, settings);
const { port } = gateway;
const host = `Host: 127.0.0.1:${port}`;
const warnings: string[] = [];
process.on("warning", (warning) => warnings.push(warning.message));

const request = (path: string, key: string, body = "", more = "") =>
  `POST ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: ${key}\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
const lanes = { protected: "/pay", unprotected: "/bare" };

for (const [lane, path] of Object.entries(lanes)) {
  t.test(`${lane}: what cannot be read behind a request does not take that request's answer`, async (t) => {
    const gate = new Gate();
    upstream.on(path, gate.before(answer(201, "done")));
    const before = upstream.count(path);
    const client = await RawClient.connect(port);
    client.write(request(path, `garbage-${lane}`));
    await upstream.arrived(path, before + 1);
    client.write("\x00\x01\r\n\r\n");
    await pause(20);
    gate.open();
    const response = await client.response();
    t.match(response, { status: 201 });
    // What cannot be read has its turn, and its answer.
    t.equal(headerOf(response, "connection"), "keep-alive");
    const refusal = await client.response();
    t.match(refusal, { status: 400 });
    t.equal(headerOf(refusal, "connection"), "close");
    await client.ended();
    t.equal(client.received.toString("latin1").match(/HTTP\/1\.1 \d/g)?.length, 2, "and nothing after it");
  });

  t.test(`${lane}: answers go out in the order of the requests`, async (t) => {
    const gate = new Gate();
    const slow = `${path === "/pay" ? "/pay" : "/slow"}`;
    const fast = `${path === "/pay" ? "/other" : "/fast"}`;
    upstream.on(slow, gate.before(answer(201, "first")));
    upstream.on(fast, answer(201, "second"));
    const before = upstream.count(fast);
    const client = await RawClient.connect(port);
    client.write(request(slow, "order-1") + request(fast, "order-2"));
    await pause(20);
    t.equal(client.received.length, 0);
    t.equal(upstream.count(fast), before, "requests in a row run one after the other");
    gate.open();
    t.equal((await client.response()).body.toString(), "first");
    t.equal((await client.response()).body.toString(), "second");
    client.hangUp();
  });

  t.test(`${lane}: requests in a row whose client leaves are each told of once, and hold nothing`, async (t) => {
    const gate = new Gate();
    upstream.on(path, gate.before(answer(201)));
    const before = upstream.count(path);
    const told = gateway.seen("request").length;
    const client = await RawClient.connect(port);
    client.write([1, 2, 3].map((at) => request(path, `row-${lane}-${at}`, "x")).join(""));
    // The second would have begun after the first: it never runs, and is no request yet.
    await upstream.arrived(path, before + 1);
    client.hangUp();
    await gateway.until(
      "the client is known to be gone",
      () => gateway.seen("request").length > told || lane === "protected",
    );
    await pause(20);
    gate.open();
    await gateway.until("all are told of", () => gateway.seen("request").length === told + 1);
    await gateway.quiet();
    t.same(
      gateway
        .seen("request")
        .slice(told)
        .map((event) => event.hungUp),
      [true],
    );
    t.equal(upstream.count(path), before + 1);
  });

  t.test(`${lane}: an upgrade behind a request that runs does not run beside it`, async (t) => {
    const gate = new Gate();
    upstream.on(path, gate.before(answer(201, "stored all the same")));
    const before = upstream.count(path);
    const client = await RawClient.connect(port);
    client.write(request(path, `upgrade-${lane}`));
    await upstream.arrived(path, before + 1);
    const upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n";
    client.write(request(path, `upgrade-2-${lane}`, "", upgrade));
    await pause(20);
    t.equal(upstream.count(path), before + 1);
    gate.open();
    t.match(await client.response(), { status: 201 });
    t.match(await client.response(), { status: 201 }, "in its turn it is the plain request that it also is");
    t.equal(upstream.count(path), before + 2);
    client.hangUp();
    if (lane === "unprotected") return;
    const retry = await post(gateway.url + path, { key: `upgrade-${lane}` });
    t.match(retry, { status: 201, text: "stored all the same", isReplayed: true });
  });
}

t.test("nothing is written into the middle of an answer", async (t) => {
  const gate = new Gate();
  upstream.on("/streamed", async ({ response }) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("12345");
    await gate.opened;
    response.end("x".repeat(995));
  });
  const client = await RawClient.connect(port);
  client.write(`GET /streamed HTTP/1.1\r\n${host}\r\n\r\n`);
  await client.head();
  await client.bytes(5);
  client.write("\x00\x01\r\n\r\n");
  await pause(20);
  gate.open();
  t.equal((await client.bytes(995)).toString(), "x".repeat(995));
  await client.ended();
  t.equal(
    client.received.toString("latin1").match(/HTTP\/1\.1 \d/g)?.length,
    2,
    "what cannot be read is answered in its turn",
  );
});

t.test("nor when the request that is being answered breaks off", async (t) => {
  upstream.onStream("/both-ways", (request, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("12345");
    request.resume();
  });
  const client = await RawClient.connect(port);
  client.write(`POST /both-ways HTTP/1.1\r\n${host}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n`);
  await client.head();
  await client.bytes(5);
  client.write("not a chunk\r\n");
  await client.ended();
  t.equal(client.received.subarray(-5).toString(), "12345");
});

t.test("a body that cannot be read is refused, and nothing is sent or claimed", async (t) => {
  const before = upstream.journal.length;
  const client = await RawClient.connect(port);
  client.write(
    `POST /pay HTTP/1.1\r\n${host}\r\nIdempotency-Key: chunks\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n`,
  );
  const response = await client.response();
  t.equal(response.status, 400);
  t.match(JSON.parse(response.body.toString()), { code: "request-ambiguous", retryable: false });
  await client.ended();
  await gateway.quiet();
  t.equal(upstream.journal.length, before);
});

t.test("a header section over 64 KiB is refused as a problem document", async (t) => {
  const response = await RawClient.exchange(port, `POST /pay HTTP/1.1\r\n${host}\r\nX-Large: ${"x".repeat(70_000)}`);
  t.equal(response.status, 431);
  t.match(JSON.parse(response.body.toString()), { code: "headers-too-many", status: 431 });
  t.equal(headerOf(response, "content-type"), "application/problem+json");
});

t.test("who sends nonsense and stays is disconnected", async () => {
  const client = await RawClient.connect(port);
  client.socket.allowHalfOpen = true;
  client.write("\x00\x01\r\n\r\n");
  await client.response();
  await client.ended();
  await gateway.until("the gateway has let go of the connection", () => {
    client.socket.write("x");
    return client.socket.closed;
  });
});

t.test("a request that never comes whole is answered 408; one that is waited for is not", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "late")));
  const waited = post(`${gateway.url}/pay`, { key: "long" });
  const half = await RawClient.connect(port);
  half.write(`POST /pay HTTP/1.1\r\n${host}\r\nIdempotency-Key: half\r\nContent-Length: 5\r\n\r\n12`);
  const head = await RawClient.connect(port);
  head.write("POST /pay HTTP/1.1\r\nX-Slow: ");
  t.equal((await half.response()).status, 408);
  t.equal((await head.response()).status, 408);
  await half.ended();
  gate.open();
  t.match(await waited, { status: 201, text: "late" });
  await gateway.quiet();
});

t.test("every POST that offers h2c on a connection is protected, with its body", async (t) => {
  upstream.on("/pay", ({ entry, response }) => response.writeHead(201).end(entry.body));
  const before = upstream.count("/pay");
  const client = await RawClient.connect(port);
  const offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
  for (let at = 0; at < 30; at++) {
    client.write(request("/pay", `h2c-${at >> 1}`, `body ${at >> 1}`, offer));
    const response = await client.response();
    t.match([response.status, response.body.toString()], [201, `body ${at >> 1}`]);
    t.equal(headerOf(response, "idempotent-replayed"), at % 2 === 1 ? "true" : undefined);
  }
  t.equal(upstream.count("/pay"), before + 15);
  const { headers = [] } = upstream.entries("/pay").at(-1) ?? {};
  t.notOk(headers.some(([name]) => /^(upgrade|http2-settings)$/i.test(name)));
  client.hangUp();
});

t.test("a drain ends each connection with the answer it is owed, and at once where it owes none", async (t) => {
  for (const path of Object.values(lanes)) {
    const draining = await SampleGateway.start(t, settings);
    const gate = new Gate();
    const fields = ["X-B: 1", "x-a: 2", "X-B: 3"];
    const head = `HTTP/1.1 200 OK\r\n${fields.join("\r\n")}\r\nContent-Length: 2\r\n\r\nok`;
    upstream.on(
      path,
      gate.before(({ socket }) => socket.write(head)),
    );
    const before = upstream.count(path);
    const idle = await RawClient.connect(draining.port);
    idle.write(`GET /.well-known/idempotency HTTP/1.1\r\n${host}\r\n\r\n`);
    await idle.response();
    const silent = await RawClient.connect(draining.port);
    const started = await RawClient.connect(draining.port);
    started.write("POST /pay HTTP/1.1\r\n");
    const busy = await RawClient.connect(draining.port);
    busy.write(request(path, "drained"));
    await upstream.arrived(path, before + 1);
    const half = await RawClient.connect(draining.port);
    half.write(request(path, "half-sent", "12", "Expect: 100-continue\r\n").slice(0, -1));
    t.equal((await half.head()).status, 100);
    const drained = draining.server.drain();
    await Promise.all([idle, silent, started].map((client) => client.ended()));
    half.write("2");
    gate.open();
    for (const client of [busy, half]) {
      const response = await client.response();
      t.equal(response.status, 200);
      t.equal(headerOf(response, "connection"), "close");
      t.same(
        response.headers.filter(([name]) => /^x-/i.test(name)).map((pair) => pair.join(": ")),
        fields,
        "the header is the upstream's own, in a drain too",
      );
      await client.ended();
    }
    await drained;
    await t.rejects(RawClient.connect(draining.port), "no new connection is taken");
  }
});

t.test("no listener was left on any connection", async (t) => {
  const client = await RawClient.connect(port);
  for (const path of ["/pay", "/bare"]) upstream.on(path, answer(201));
  for (let at = 0; at < 50; at++) {
    client.write(request("/pay", `many-${at % 25}`) + request("/bare", "") + request("/bare", "", "12345"));
    for (let of = 0; of < 3; of++) await client.response();
  }
  client.hangUp();
  t.same(warnings, []);
});
