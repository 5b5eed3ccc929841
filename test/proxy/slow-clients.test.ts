import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { post } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { answer, Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";

// Clients that take their time hold connections to an upstream only while something moves, and never those of payments.

const upstream = await Upstream.start(t);
const to = { connections: 2, timeout: "400ms" };
const gateway = await SampleGateway.start(t, {
  routes: [
    guarded("/pay", upstream.url, {}, to),
    guarded("/export", upstream.url, {}, { connections: 50, timeout: "400ms" }),
    open("/*", upstream.url, to),
  ],
});
const { port, url } = gateway;
const host = `Host: 127.0.0.1:${port}`;
const large = 32 * 1024 * 1024;
/** Whole, as fast as it is read. */
const sockets: Socket[] = [];
const download = ({ response, socket }: Parameters<Parameters<Upstream["on"]>[1]>[0]) => {
  sockets.push(socket);
  response.writeHead(200, { "content-length": String(large) });
  response.end(Buffer.alloc(large));
};

/** Small events, for as long as the client stays: nothing is idle. */
async function eventReader(): Promise<RawClient> {
  const client = await RawClient.connect(port);
  client.write(`GET /events HTTP/1.1\r\n${host}\r\n\r\n`);
  await client.head();
  return client;
}

async function idleReader(method: string, path: string): Promise<RawClient> {
  const client = await RawClient.connect(port);
  client.write(
    `${method} ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: ${path}-${Math.random()}\r\nContent-Length: 0\r\n\r\n`,
  );
  await client.head();
  client.socket.removeAllListeners("data");
  client.socket.pause();
  return client;
}

upstream.on("/events", ({ response }) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const timer = setInterval(() => response.write("data: 1\n\n"), 50);
  response.on("close", () => clearInterval(timer)).write("data: 1\n\n");
});

t.test("whatever unprotected clients hold, a payment finds a connection", async (t) => {
  upstream.on("/pay", answer(201));
  const held = await Promise.all([eventReader(), eventReader()]);
  t.equal((await post(`${url}/pay`, { key: "held" })).status, 201);
  t.match(await post(`${url}/bare`, { body: "x" }), { status: 502 }, "they keep each other waiting");
  for (const client of held) client.hangUp();
});

t.test("an upload takes its connection when the first of its body is there", async (t) => {
  upstream.on("/bare", answer(201));
  const waiting = await Promise.all(Array.from({ length: 4 }, () => RawClient.connect(port)));
  for (const client of waiting) client.write(`POST /bare HTTP/1.1\r\n${host}\r\nContent-Length: 4\r\n\r\n`);
  await pause(50);
  t.equal((await post(`${url}/bare`, { body: "x" })).status, 201, "not before");
  for (const client of waiting) client.write("body");
  for (const client of waiting) t.equal((await client.response()).status, 201);
  for (const client of waiting) client.hangUp();
});

t.test("a reader who takes nothing for the whole timeout is cut off, and his connection is free", async (t) => {
  upstream.on("/large", download);
  const readers = await Promise.all([idleReader("GET", "/large"), idleReader("GET", "/large")]);
  await gateway.until(
    "both are told of",
    () => gateway.seen("request").filter(({ path, hungUp }) => path === "/large" && hungUp).length === 2,
  );
  upstream.on("/bare", answer(201));
  t.equal((await post(`${url}/bare`, { body: "x" })).status, 201);
  for (const client of readers) client.hangUp();
});

t.test("a protected answer is read to its end all the same", async () => {
  upstream.on("/export", download);
  const reader = await idleReader("POST", "/export");
  await gateway.until("it is told of", () =>
    gateway.seen("request").some(({ path, hungUp }) => path === "/export" && hungUp),
  );
  await gateway.until("all of it was read", () => (sockets.at(-1)?.bytesWritten ?? 0) > large);
  await gateway.quiet();
  reader.hangUp();
});

t.test("a reader who takes a little now and then is not cut off", async (t) => {
  upstream.on("/large", download);
  const client = await idleReader("GET", "/large");
  let bytes = client.received.length - client.received.indexOf("\r\n\r\n") - 4;
  let enough = 0;
  client.socket.on("data", (part) => {
    bytes += part.length;
    if (bytes > enough) client.socket.pause();
  });
  // So much at a time that the system tells the other end of it.
  for (; bytes < large; enough += large / 8) {
    client.socket.resume();
    await gateway.until("the next part", () => bytes > Math.min(enough, large - 1));
    await pause(150);
  }
  t.ok(bytes >= large, "all of it came");
  client.hangUp();
});

t.test("a client that leaves while its upload waits for a connection takes nothing down with it", async (t) => {
  const held = await Promise.all([eventReader(), eventReader()]);
  const leaving = await RawClient.connect(port);
  leaving.write(`POST /bare HTTP/1.1\r\n${host}\r\nContent-Length: 4\r\n\r\nbo`);
  await pause(30);
  leaving.hangUp();
  await pause(30);
  for (const client of held) client.hangUp();
  upstream.on("/bare", answer(201));
  t.equal((await post(`${url}/bare`, { body: "x" })).status, 201);
});
