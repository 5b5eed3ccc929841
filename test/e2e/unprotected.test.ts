import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import t from "tap";
import { headerOf, post } from "./client.js";
import { Gateway } from "./harness.js";
import { RawClient } from "./raw-client.js";
import { answer, Gate, Upstream } from "./upstream.js";

// What only the unprotected lane does: it streams, and whatever HTTP knows passes through it.

const upstream = await Upstream.start(t);
const gateway = await Gateway.start(t, {
  routes: [{ name: "bare", match: { path: "/*" }, upstream: { url: upstream.url } }],
});
const { port } = gateway;
const host = `Host: 127.0.0.1:${port}`;

t.test("100 MiB go up and 100 MiB come down, and memory stays flat", async (t) => {
  const chunk = randomBytes(1024 * 1024);
  const count = 100;
  const sum = createHash("sha256");
  for (let sent = 0; sent < count; sent++) sum.update(chunk);
  const expected = sum.digest("hex");
  upstream.onStream("/mirror", (request, response) => {
    response.writeHead(200, { "content-length": String(chunk.length * count) });
    request.pipe(response);
  });
  const rss = () => gateway.metric("process_resident_memory_bytes");
  const client = await RawClient.connect(port);
  const { socket } = client;
  socket.removeAllListeners("data");
  socket.write(`POST /mirror HTTP/1.1\r\n${host}\r\nContent-Length: ${chunk.length * count}\r\n\r\n`);
  const received = createHash("sha256");
  let bytes = 0;
  let isHead = true;
  const rssBytes: number[] = [];
  const whole = new Promise<void>((resolve, reject) => {
    socket.once("close", () => reject(new Error(`closed after ${bytes} bytes`)));
    socket.on("data", (part: Buffer) => {
      const body = isHead ? part.subarray(part.indexOf("\r\n\r\n") + 4) : part;
      isHead = false;
      received.update(body);
      bytes += body.length;
      if (bytes >= chunk.length * count) resolve();
    });
  });
  for (let sent = 0; sent < count; sent++) {
    if (!socket.write(chunk)) await once(socket, "drain");
    if (sent % 20 === 19) rssBytes.push(await rss());
  }
  await whole;
  client.hangUp();
  t.equal(received.digest("hex"), expected);
  // Buffers that wait for the collector come with the first of them; what is held back would grow to the end.
  const [early = 0, ...later] = rssBytes;
  const grownMib = (Math.max(...later) - early) / 1024 / 1024;
  t.ok(grownMib < 48, `memory grew by ${grownMib.toFixed(1)} MiB over the last 80 MiB`);
});

t.test("events arrive one by one while the stream is open", async (t) => {
  const gates = [new Gate(), new Gate()];
  upstream.on("/events", async ({ response }) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
    await gates[0]?.opened;
    response.write("data: 2\n\n");
    await gates[1]?.opened;
    response.end();
  });
  const response = await fetch(`${gateway.url}/events`);
  const reader = response.body?.getReader();
  const next = async () => Buffer.from((await reader?.read())?.value ?? []).toString();
  t.equal(await next(), "data: 1\n\n");
  gates[0]?.open();
  t.equal(await next(), "data: 2\n\n");
  gates[1]?.open();
  t.equal(await next(), "");
});

t.test("a WebSocket is relayed both ways", async (t) => {
  upstream.onUpgrade("/socket", (request, socket, head) => {
    const accept = createHash("sha1").update(
      `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`,
    );
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept.digest("base64")}\r\nX-Protocol: echo\r\n\r\n`,
    );
    const echo = (frame: Buffer) => socket.write(unmasked(frame));
    if (head.length > 0) echo(head);
    socket.on("data", echo);
  });
  const client = await RawClient.connect(port);
  client.write(
    `GET /socket HTTP/1.1\r\n${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  );
  const response = await client.response();
  t.equal(response.status, 101);
  t.equal(headerOf(response, "sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the value of RFC 6455 §1.3");
  t.equal(headerOf(response, "x-protocol"), "echo");
  for (const text of ["hello", "there"]) {
    client.write(masked(text));
    t.equal((await client.bytes(2 + text.length)).toString("latin1"), `\x81${String.fromCharCode(text.length)}${text}`);
  }
  const closed = once(client.socket, "close");
  for (const socket of upstream.sockets) socket.destroy();
  await closed;
});

t.test("every method passes, a GET keeps its body, a 503 is not tried again", async (t) => {
  for (const method of ["PROPFIND", "MKCOL", "M-SEARCH", "DELETE", "OPTIONS", "PUT", "GET"]) {
    const reply = await post(`${gateway.url}/dav`, { method, body: `<${method}/>` });
    t.equal(reply.status, 201, method);
    t.match(upstream.entries("/dav").at(-1), { method });
    t.equal(upstream.entries("/dav").at(-1)?.body.toString(), `<${method}/>`);
  }
  upstream.on("/busy", answer(503, "busy", { "retry-after": "0" }));
  t.match(await post(`${gateway.url}/busy`, { method: "GET" }), { status: 503, text: "busy" });
  t.equal(upstream.count("/busy"), 1);
});

t.test("a HEAD has no body, and the connection lives on", async (t) => {
  upstream.on("/head", ({ response }) => response.writeHead(200, { "content-length": "12" }).end());
  const client = await RawClient.connect(port);
  for (let turn = 0; turn < 2; turn++) {
    client.write(`HEAD /head HTTP/1.1\r\n${host}\r\n\r\n`);
    t.equal(headerOf(await client.response("HEAD"), "content-length"), "12");
  }
  client.hangUp();
});

/** A text frame of RFC 6455 §5.2, as a client must send it. */
function masked(text: string): Buffer {
  const mask = Buffer.from([1, 2, 3, 4]);
  const body = Buffer.from(text).map((byte, at) => byte ^ (mask[at % 4] ?? 0));
  return Buffer.concat([Buffer.from([0x81, 0x80 | body.length]), mask, body]);
}

/** The same frame, as a server must send it. One small frame at a time. */
function unmasked(frame: Buffer): Buffer {
  const length = (frame[1] ?? 0) & 0x7f;
  const body = frame.subarray(6, 6 + length).map((byte, at) => byte ^ (frame[2 + (at % 4)] ?? 0));
  return Buffer.concat([Buffer.from([0x81, length]), body]);
}
