import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { connectionLimit } from "../../src/proxy/connection-limit.js";
import { post } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { sampleConfig } from "../sample-config.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";

// What one client may take, and what it cannot take from others.

const upstream = await Upstream.start(t);
const routes = [guarded("/pay", upstream.url, { response: { maxStored: "8MiB" } }), open("/*", upstream.url)];
const short = { requestTimeout: "1s", headersTimeout: "1s" };

/** A client that asks and reads nothing. */
function deaf(port: number, bytes: string): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.pause();
      socket.write(bytes, () => resolve(socket));
    });
    socket.on("error", () => {});
  });
}

t.test("a client that takes no byte of its answer is cut, whichever lane answers it", async (t) => {
  const gateway = await SampleGateway.start(t, { server: { limits: short }, routes });
  const bytes = 8_000_000;
  upstream.on("/pay", answer(200, Buffer.alloc(bytes)));
  upstream.on("/open", answer(200, Buffer.alloc(bytes)));
  const asked = {
    "protected, whole": "POST /pay HTTP/1.1\r\nHost: h\r\nIdempotency-Key: deaf-1\r\nContent-Length: 0\r\n\r\n",
    "protected, by chunks":
      "POST /pay HTTP/1.1\r\nHost: h\r\nIdempotency-Key: deaf-2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    unprotected: "GET /open HTTP/1.1\r\nHost: h\r\n\r\n",
  };
  for (const [lane, head] of Object.entries(asked)) {
    const told = gateway.seen("request").length;
    const socket = await deaf(gateway.port, head);
    await gateway.until(`${lane} is cut`, () => gateway.seen("request").length > told);
    t.equal(gateway.seen("request").at(-1)?.hungUp, true, lane);
    socket.destroy();
  }
  const slow = await deaf(gateway.port, asked["protected, whole"]);
  let got = 0;
  slow.on("data", (part: Buffer) => {
    got += part.length;
    slow.pause();
    setTimeout(() => slow.resume(), 2);
  });
  slow.resume();
  await gateway.until("who reads slowly gets all of it", () => got > bytes);
  slow.destroy();
});

t.test("answers that clients do not take are bounded in memory: the oldest of them are cut", async (t) => {
  const gateway = await SampleGateway.start(t, { server: { limits: { bufferedBodies: "40MiB" } }, routes });
  upstream.on("/pay", ({ response }) => void response.end(Buffer.alloc(8_000_000)));
  const sockets: Socket[] = [];
  for (let n = 0; n < 30; n++) {
    const head = `POST /pay HTTP/1.1\r\nHost: 127.0.0.1:${gateway.port}\r\nIdempotency-Key: bound-${n}\r\nContent-Length: 0\r\n\r\n`;
    sockets.push(await deaf(gateway.port, head));
  }
  await gateway.until("most are cut", () => gateway.seen("request").length >= 25);
  t.ok(gateway.budget.unread.bytes <= 40 * 1024 * 1024, `${gateway.budget.unread.bytes} bytes wait`);
  t.match(await post(`${gateway.url}/pay`, { key: "bound-0" }), { status: 200, isReplayed: true });
  for (const socket of sockets) socket.destroy();
  await gateway.until("nothing is held", () => gateway.budget.unread.bytes === 0);
});

t.test("one answer that many clients wait for counts once", async (t) => {
  const gateway = await SampleGateway.start(t, { server: { limits: { bufferedBodies: "40MiB" } }, routes });
  upstream.on("/pay", ({ response }) => void setTimeout(() => response.end(Buffer.alloc(4_000_000)), 200));
  const replies = await Promise.all(Array.from({ length: 40 }, () => post(`${gateway.url}/pay`, { key: "shared" })));
  t.ok(replies.every(({ status }) => status === 200));
});

t.test("a body in parts of one byte takes the memory it counts", async (t) => {
  const gateway = await SampleGateway.start(t, { routes });
  for (const [lane, head, part] of [
    ["by chunks", "Transfer-Encoding: chunked", "1\r\na\r\n"],
    ["of a length", "Content-Length: 900000", "a"],
  ] as const) {
    const client = await RawClient.connect(gateway.port);
    client.socket.setNoDelay(true);
    const beforeBytes = process.memoryUsage().rss;
    client.write(`POST /pay HTTP/1.1\r\nHost: h\r\nIdempotency-Key: ${lane.replaceAll(" ", "-")}\r\n${head}\r\n\r\n`);
    for (let n = 0; n < 40; n++) {
      client.write(part.repeat(10_000));
      await pause(1);
    }
    await gateway.until("it is there", () => gateway.budget.usedBytes >= 400_000);
    t.ok(process.memoryUsage().rss - beforeBytes < 80_000_000, lane);
    client.hangUp();
    await gateway.quiet();
  }
});

t.test("an answer in parts of one byte takes the memory it holds", async (t) => {
  const gateway = await SampleGateway.start(t, { routes });
  const [times, chunks] = [200, 10_000];
  const go = new Gate();
  upstream.on("/pay", async ({ socket }) => {
    socket.write("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (let n = 0; n < times; n++) {
      socket.write("1\r\na\r\n".repeat(chunks));
      await pause(1);
    }
    await go.opened;
    socket.write("0\r\n\r\n");
  });
  const beforeBytes = process.memoryUsage().rss;
  const before = upstream.count("/pay");
  const reply = post(`http://127.0.0.1:${gateway.port}/pay`, { key: "small-parts" });
  await upstream.arrived("/pay", before + 1);
  await pause(2000);
  t.ok(process.memoryUsage().rss - beforeBytes < 100_000_000, `${process.memoryUsage().rss - beforeBytes} bytes`);
  go.open();
  const { status, body } = await reply;
  t.equal(status, 201);
  t.equal(body.length, times * chunks);
});

t.test("an unprotected upload may take as long as it likes while it goes on; a protected one may not", async (t) => {
  const gateway = await SampleGateway.start(t, { server: { limits: short }, routes });
  upstream.on("/up", answer(201, "up"));
  upstream.on("/pay", answer(201, "paid"));
  const head = (path: string, more: string) => `POST ${path} HTTP/1.1\r\nHost: h\r\n${more}Content-Length: 12\r\n\r\n`;
  const drip = async (client: RawClient) => {
    for (let n = 0; n < 12; n++) {
      client.write("x");
      await pause(300);
    }
  };
  for (const [path, more, expected] of [
    ["/up", "", 201],
    ["/pay", "Idempotency-Key: drip\r\n", 408],
  ] as const) {
    const client = await RawClient.connect(gateway.port);
    client.socket.on("error", () => {});
    client.write(head(path, more));
    void drip(client);
    t.match(await client.response(), { status: expected }, path);
    client.hangUp();
  }
  const silent = await RawClient.connect(gateway.port);
  silent.write(`${head("/up", "")}x`);
  t.match(await silent.response(), { status: 408 }, "a silence of that length ends it");
  await silent.ended();
});

t.test("connections beyond the limit are closed, the others go on, and room is made by those that leave", async (t) => {
  const gateway = await SampleGateway.start(t, { server: { limits: { connections: 3 } }, routes });
  upstream.on("/pay", answer(201));
  const clients = await Promise.all([1, 2, 3].map(() => RawClient.connect(gateway.port)));
  const fourth = await RawClient.connect(gateway.port);
  fourth.socket.on("error", () => {});
  await fourth.ended();
  t.equal(fourth.received.length, 0);
  for (const [n, client] of clients.entries()) {
    client.write(`POST /pay HTTP/1.1\r\nHost: h\r\nIdempotency-Key: limit-${n}\r\nContent-Length: 0\r\n\r\n`);
    t.match(await client.response(), { status: 201 });
  }
  clients[0]?.hangUp();
  await pause(50);
  const next = await RawClient.connect(gateway.port);
  next.write("GET /open HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  t.match(await next.response(), { status: 200 });
  for (const client of clients) client.hangUp();
});

t.test("the limit of connections stays below that of file descriptors", async (t) => {
  const config = sampleConfig();
  t.equal(connectionLimit(config, Number.POSITIVE_INFINITY), 10_000);
  t.equal(connectionLimit(config, 1_048_576), 10_000);
  t.equal(connectionLimit(config, 1024), 1024 - 128 - 2 * 64);
  t.equal(connectionLimit(config, 400), 200);
  t.equal(connectionLimit(config, 1), 1);
});
