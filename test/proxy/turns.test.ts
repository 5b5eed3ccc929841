import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { headerOf } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";

// Requests in a row on one connection: each in its turn, none behind the last one, and no answer of them lost.

const upstream = await Upstream.start(t);
const settings = {
  server: { limits: { requestBody: "64KiB", pipelined: 2 } },
  routes: [guarded("/v1/pay", upstream.url), open("/*", upstream.url)],
};
const gateway = await SampleGateway.start(t, settings);
const { port } = gateway;
const chunked = (path: string, key: string) =>
  `POST ${path} HTTP/1.1\r\nHost: h\r\nIdempotency-Key: ${key}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`;
const statuses = (client: RawClient) =>
  [...client.received.toString("latin1").matchAll(/HTTP\/1\.1 (\d+) /g)].map((match) => Number(match[1]));

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n";
const ambiguous: Record<string, string> = {
  "Transfer_Encoding beside a length":
    "POST PATH HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
  Content_Length: `POST PATH HTTP/1.1\r\nHost: h\r\nContent_Length: ${smuggled.length}\r\n\r\n`,
  "an empty Transfer-Encoding beside a length":
    "POST PATH HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \r\nContent-Length: 0\r\n\r\n",
  "an empty Transfer-Encoding": "POST PATH HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \r\n\r\n",
  "chunks in HTTP/1.0":
    "POST PATH HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "two hosts": "POST PATH HTTP/1.1\r\nHost: h\r\nHost: g\r\nContent-Length: 0\r\n\r\n",
  "no host": "POST PATH HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
  "too many fields": `POST PATH HTTP/1.1\r\nHost: h\r\n${"A: b\r\n".repeat(250)}Content-Length: 0\r\n\r\n`,
  "an upgrade with two hosts":
    "GET PATH HTTP/1.1\r\nHost: h\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  "a length and chunks":
    "POST PATH HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "two lengths": "POST PATH HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
  "no version": "GET PATH\r\n\r\n",
};
for (const [what, head] of Object.entries(ambiguous)) {
  t.test(
    `a request that hops may read differently ends its connection, and nothing behind it runs: ${what}`,
    async (t) => {
      for (const path of ["/v1/pay", "/open", "/.well-known/idempotency"]) {
        const client = await RawClient.connect(port);
        // An ordinary request first: it takes a connection of the fast path along.
        client.write(`POST /v1/pay HTTP/1.1\r\nHost: h\r\nIdempotency-Key: before\r\nContent-Length: 2\r\n\r\n{}`);
        t.match(await client.response(), { status: 201 });
        client.write(head.replace("PATH", path) + smuggled.repeat(3));
        const refusal = await client.response();
        t.ok(refusal.status === 400 || refusal.status === 431, `${path}: ${refusal.status}`);
        t.equal(headerOf(refusal, "connection"), "close");
        await client.ended();
        t.same(statuses(client), [201, refusal.status]);
      }
      t.equal(upstream.count("/smuggled"), 0);
    },
  );
}

t.test("requests in a row run one after the other on every lane, and each is answered", async (t) => {
  for (const [lane, path] of [
    ["protected", "/v1/pay"],
    ["unprotected", "/rows"],
  ] as const) {
    const gate = new Gate();
    upstream.on(path, gate.before(answer(201, lane)));
    const before = upstream.count(path);
    const client = await RawClient.connect(port);
    client.write([1, 2, 3, 4, 5, 6].map((n) => chunked(path, `row-${lane}-${n}`)).join(""));
    await upstream.arrived(path, before + 1);
    await pause(30);
    t.equal(upstream.count(path), before + 1, lane);
    gate.open();
    for (let n = 0; n < 6; n++) t.match(await client.response(), { status: 201 });
    t.equal(upstream.count(path), before + 6);
    client.hangUp();
  }
});

t.test(
  "a hundred thousand requests in a row cost no memory, and are not read before there is room for them",
  async (t) => {
    const gate = new Gate();
    upstream.on("/row", gate.before(answer(200, "x")));
    const beforeBytes = process.memoryUsage().rss;
    const sockets: Socket[] = [];
    const bytes = Buffer.from(`GET /row HTTP/1.1\r\nHost: h\r\nPad: ${"x".repeat(100)}\r\n\r\n`.repeat(120_000));
    for (let n = 0; n < 3; n++) {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write(bytes);
      sockets.push(socket);
    }
    await upstream.arrived("/row", 3);
    await pause(300);
    t.equal(upstream.count("/row"), 3, "one of each connection is begun");
    t.ok(
      sockets.every(({ writableLength }) => writableLength > 0),
      "the rest is left with the client",
    );
    t.ok(process.memoryUsage().rss - beforeBytes < 64 * 1024 * 1024);
    for (const socket of sockets) socket.destroy();
    gate.open();
    await gateway.quiet();
    await pause(50);
    t.ok(upstream.count("/row") <= 6, "behind a client that left at most the next one is begun");
  },
);

t.test("behind an answer that says close nothing runs, however much of it has come", async (t) => {
  const body = Buffer.alloc(500_000);
  const forms = {
    "a body that is too large": `Idempotency-Key: large\r\nContent-Length: ${body.length}\r\n\r\n`,
    "no key": `Content-Length: ${body.length}\r\n\r\n`,
  };
  for (const [what, rest] of Object.entries(forms)) {
    const client = await RawClient.connect(port);
    client.write(`POST /v1/pay HTTP/1.1\r\nHost: h\r\n${rest}`);
    client.socket.write(body);
    await pause(20);
    client.write("POST /after HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n".repeat(3));
    const response = await client.response();
    if (headerOf(response, "connection") === "close") {
      await client.ended();
      t.equal(upstream.count("/after"), 0, what);
    }
    client.hangUp();
  }
  const client = await RawClient.connect(port);
  client.write(`GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n${smuggled}`);
  t.match(await client.response(), { status: 201 });
  await client.ended();
  t.equal(upstream.count("/smuggled"), 0);
});

t.test("what breaks behind requests takes no answer from them", async (t) => {
  upstream.on("/v1/pay", answer(201, "done"));
  const broken = {
    "an end too many": `${chunked("/v1/pay", "b1")}${chunked("/v1/pay", "b2")}0\r\n\r\n`,
    "a chunk that is none": `${chunked("/v1/pay", "b3")}${chunked("/v1/pay", "b4")}POST /v1/pay HTTP/1.1\r\nHost: h\r\nIdempotency-Key: b5\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n`,
  };
  for (const [what, bytes] of Object.entries(broken)) {
    const before = upstream.count("/v1/pay");
    const client = await RawClient.connect(port);
    client.write(bytes);
    await client.ended();
    t.same(statuses(client), [201, 201, 400], what);
    t.equal(upstream.count("/v1/pay"), before + 2, "as many were sent as were answered");
  }
});

t.test("at a drain as many were sent as were answered, and the last answer says close", async (t) => {
  const draining = await SampleGateway.start(t, settings);
  const gate = new Gate();
  upstream.on("/drain", gate.before(answer(200, "x")));
  const client = await RawClient.connect(draining.port);
  client.write("GET /drain HTTP/1.1\r\nHost: h\r\n\r\n".repeat(3));
  await upstream.arrived("/drain", 1);
  const drained = draining.server.drain();
  gate.open();
  t.equal(headerOf(await client.response(), "connection"), "close");
  await client.ended();
  await drained;
  t.same([statuses(client), upstream.count("/drain")], [[200], 1]);
});

t.test("100 (Continue) is never written into another request's answer, and a refusal comes before it", async (t) => {
  const large = "y".repeat(20_000);
  upstream.on("/v1/pay", answer(201, large));
  const expecting = (key: string, length = 2) =>
    `POST /v1/pay HTTP/1.1\r\nHost: h\r\n${key}Expect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;
  const client = await RawClient.connect(port);
  client.write(`${chunked("/v1/pay", "c1")}${expecting("Idempotency-Key: c2\r\n")}{}${chunked("/v1/pay", "c3")}`);
  await client.bytes(0);
  await gateway.until("three answers", () => statuses(client).filter((status) => status === 201).length === 3);
  const text = client.received.toString("latin1");
  t.equal(text.split(large).length, 4, "each body is whole");
  t.same(statuses(client), [201, 100, 201, 201]);
  client.hangUp();
  for (const [status, head] of [
    [400, expecting("")],
    [413, expecting("Idempotency-Key: c4\r\n", 100_000)],
  ] as const) {
    const refused = await RawClient.connect(port);
    refused.write(head);
    t.match(await refused.response(), { status });
    await refused.ended();
    t.same(statuses(refused), [status], "and no 100 before it");
  }
});

t.test("empty lines before a request are skipped; a CR that ends no line is none", async (t) => {
  upstream.on("/v1/pay", answer(201));
  const request = chunked("/v1/pay", "empty-lines");
  for (const [before, expected] of [
    ["\r\n\r\n", 201],
    ["\n", 201],
    ["\r", 400],
    ["\r\r\n", 400],
    ["\r\n\r", 400],
  ] as const) {
    const client = await RawClient.connect(port);
    client.socket.setNoDelay(true);
    client.write(request);
    t.match(await client.response(), { status: 201 });
    for (const byte of before) {
      client.write(byte);
      await pause(5);
    }
    client.write(request);
    t.match(await client.response(), { status: expected });
    client.hangUp();
  }
});
