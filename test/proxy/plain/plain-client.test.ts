import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { headerOf, post } from "../../e2e/client.js";
import { RawClient } from "../../e2e/raw-client.js";
import { answer, type Call, Gate, Upstream } from "../../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../../spec/gateway.js";

// A client's connection while all it sends is of the plain form: in pieces, in rows, too large, too slow, or gone.

const upstream = await Upstream.start(t);
const settings = {
  server: {
    limits: { requestBody: "64KiB", bufferedBodies: "96KiB", requestTimeout: "1s", headersTimeout: "1s" },
  },
  routes: [
    guarded("/pay", upstream.url),
    guarded("/large", upstream.url, { response: { maxStored: "16MiB" } }),
    open("/*", upstream.url),
  ],
};
const gateway = await SampleGateway.start(t, settings);
const { port, url } = gateway;
const host = `Host: 127.0.0.1:${port}`;
const warnings: string[] = [];
process.on("warning", (warning) => warnings.push(warning.message));

const head = (path: string, key: string, bytes: number) =>
  `POST ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: ${key}\r\nContent-Length: ${bytes}\r\n\r\n`;
const request = (path: string, key: string, body = "") => head(path, key, body.length) + body;
const echo = ({ entry, response }: Call) => response.writeHead(201).end(entry.body);

/** What was told of the requests during `during`, of which there are `count`. */
async function toldOf(count: number, during: () => Promise<unknown>): Promise<string[]> {
  await gateway.quiet();
  const before = gateway.seen("request").length;
  await during();
  await gateway.until(`${count} told of`, () => gateway.seen("request").length >= before + count);
  await gateway.quiet();
  const events = gateway.seen("request").slice(before);
  return events.map(({ status, result, hungUp }) => `${status} ${result}${hungUp ? " hung up" : ""}`);
}

t.test("a request in two pieces is the same request wherever it is cut, and runs once", async (t) => {
  upstream.on("/pay", echo);
  const text = request("/pay", "cut", "body\r\n\r\n");
  const cuts = Array.from({ length: text.length - 1 }, (_, at) => at + 1);
  const bodies = await Promise.all(
    cuts.map(async (at) => {
      const client = await RawClient.connect(port);
      client.write(text.slice(0, at));
      await pause(2);
      client.write(text.slice(at));
      const response = await client.response();
      client.hangUp();
      return `${response.status} ${response.body}`;
    }),
  );
  t.same(new Set(bodies), new Set(["201 body\r\n\r\n"]));
  t.equal(upstream.count("/pay"), 1);
  await gateway.quiet();
});

t.test("octet by octet, one request behind the other", async (t) => {
  const client = await RawClient.connect(port);
  for (const octet of request("/pay", "slow-1", "one") + request("/pay", "slow-2", "two")) {
    client.write(octet);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.same([(await client.response()).body, (await client.response()).body].map(String), ["one", "two"]);
  client.hangUp();
});

t.test("requests in a row are answered in order, whoever answers them, and none is lost", async (t) => {
  upstream.on("/bare", answer(200, "bare"));
  const before = upstream.count("/pay");
  const bare = `POST /bare HTTP/1.1\r\n${host}\r\nContent-Length: 2\r\n\r\nxx`;
  const row = request("/pay", "row-1", "1") + request("/pay", "row-2", "2") + bare + request("/pay", "row-3", "3");
  const told = await toldOf(4, async () => {
    for (const pieces of [[row], [row.slice(0, 150), row.slice(150)]]) {
      const client = await RawClient.connect(port);
      for (const piece of pieces) {
        client.write(piece);
        await pause(5);
      }
      const bodies: string[] = [];
      for (let at = 0; at < 4; at++) bodies.push(String((await client.response()).body));
      t.same(bodies, ["1", "2", "bare", "3"]);
      client.hangUp();
    }
  });
  t.equal(told.length, 8);
  t.equal(upstream.count("/pay"), before + 3);
});

t.test(
  "a body over the limit is refused with 413, one over what may be held with 503, and nothing stays held",
  async (t) => {
    const before = upstream.count("/pay");
    const told = await toldOf(3, async () => {
      const large = await RawClient.exchange(port, head("/pay", "large", 65_537).slice(0, -4), Buffer.alloc(65_537));
      t.match([large.status, JSON.parse(String(large.body)).code], [413, "body-too-large"]);
      const half = await RawClient.connect(port);
      half.write(request("/pay", "half", "x".repeat(60_000)).slice(0, -1));
      await gateway.until("it is held", () => gateway.budget.usedBytes === 59_999);
      const over = await RawClient.connect(port);
      over.write(head("/pay", "over", 50_000));
      over.write(Buffer.alloc(10_000));
      await pause(5);
      over.write(Buffer.alloc(40_000));
      const response = await over.response();
      t.match([response.status, JSON.parse(String(response.body)).code], [503, "overloaded"]);
      t.equal(gateway.budget.usedBytes, 59_999);
      half.write("x");
      t.equal((await half.response()).status, 201);
      for (const client of [half, over]) client.hangUp();
    });
    t.same(told.sort(), ["201 executed", "413 rejected", "503 rejected"]);
    t.equal(gateway.budget.usedBytes, 0);
    t.equal(upstream.count("/pay"), before + 1);
  },
);

t.test("a body that never comes is answered 408 and told of; who never asks is told to go", async (t) => {
  const told = await toldOf(1, async () => {
    const silent = await RawClient.connect(port);
    const half = await RawClient.connect(port);
    half.write(request("/pay", "never", "body").slice(0, -1));
    t.equal((await half.response()).status, 408);
    await half.ended();
    t.equal((await silent.response()).status, 408);
    await silent.ended();
  });
  t.same(told, ["499 rejected hung up"]);
  t.equal(gateway.budget.usedBytes, 0);
});

t.test("who is answered in time may be silent for longer than a request may take", async (t) => {
  const client = await RawClient.connect(port);
  client.write(request("/pay", "kept"));
  t.equal((await client.response()).status, 201);
  await pause(2_100);
  client.write(request("/pay", "kept"));
  const response = await client.response();
  t.equal(headerOf(response, "idempotent-replayed"), "true");
  t.match([headerOf(response, "connection"), headerOf(response, "keep-alive")], ["keep-alive", "timeout=65"]);
  client.hangUp();
});

t.test("many requests on one connection leave no listener on it", async (t) => {
  const client = await RawClient.connect(port);
  for (let at = 0; at < 200; at++) {
    client.write(request("/pay", `many-${at % 50}`, "x".repeat(at)));
    await client.response();
  }
  client.hangUp();
  t.same(warnings, []);
});

t.test("a client that does not read its answers is sent no more of them", async (t) => {
  // More than the system takes on its own: that may be 4 MiB at the sender alone.
  const body = Buffer.alloc(15_000_000, "large");
  upstream.on("/large", answer(200, body));
  const before = upstream.count("/large");
  const told = await toldOf(4, async () => {
    const client = await RawClient.connect(port);
    client.socket.pause();
    client.write([1, 2, 3, 4].map((at) => request("/large", `unread-${at}`)).join(""));
    await upstream.arrived("/large", before + 1);
    await pause(50);
    t.ok(upstream.count("/large") < before + 4, `${upstream.count("/large") - before} of 4 were begun`);
    client.socket.resume();
    for (let at = 0; at < 4; at++) t.ok((await client.response()).body.equals(body));
    client.hangUp();
  });
  t.same(told, Array(4).fill("200 executed"));
});

t.test("a client that leaves: before its body is there, while it is answered, while it does not read", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(echo));
  const receiving = await toldOf(1, async () => {
    const client = await RawClient.connect(port);
    client.write(request("/pay", "left-1", "body").slice(0, -1));
    await gateway.until("it is held", () => gateway.budget.usedBytes === 3);
    client.hangUp();
  });
  t.same(receiving, ["499 rejected hung up"]);
  const before = upstream.count("/pay");
  const answering = await toldOf(1, async () => {
    const client = await RawClient.connect(port);
    client.write(request("/pay", "left-2", "body") + request("/pay", "left-3", "never read"));
    await upstream.arrived("/pay", before + 1);
    client.hangUp();
    await pause(20);
    gate.open();
  });
  t.same(answering, ["201 executed hung up"]);
  t.match(await post(`${url}/pay`, { key: "left-2", body: "body" }), { text: "body", isReplayed: true });
  t.equal(upstream.count("/pay"), before + 1);
  const flushing = await toldOf(1, async () => {
    const client = await RawClient.connect(port);
    client.socket.pause();
    client.write(request("/large", "unread-1"));
    await pause(50);
    client.socket.resetAndDestroy();
  });
  t.same(flushing, ["200 replayed hung up"]);
});
