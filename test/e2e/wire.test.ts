import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import t from "tap";
import { headerOf, post } from "./client.js";
import { Gateway } from "./harness.js";
import { RawClient } from "./raw-client.js";
import { answer, Gate, octets, Upstream } from "./upstream.js";

// What is on the wire, octet for octet, in both lanes.

const upstream = await Upstream.start(t);
const to = { upstream: { url: upstream.url } };
const gateway = await Gateway.start(t, {
  server: { limits: { requestBody: "64KiB" } },
  routes: [
    { name: "protected", match: { path: "/protected" }, ...to, idempotency: {} },
    { name: "hidden-key", match: { path: "/hidden-key" }, ...to, idempotency: { key: { forward: false } } },
    { name: "bare", match: { path: "/*" }, ...to },
  ],
});

const { port } = gateway;
const host = `Host: 127.0.0.1:${port}`;
const lanes = [
  { lane: "protected", path: "/protected", key: () => `Idempotency-Key: ${randomBytes(8).toString("hex")}\r\n` },
  { lane: "unprotected", path: "/bare", key: () => "" },
];
/** What the gateway itself says about the client, and node about the connection, is no matter of these tests. */
const ownHeaders = /^(host|connection|x-forwarded-.*|traceparent|idempotency-key|content-length|transfer-encoding)$/i;

for (const { lane, path, key } of lanes) {
  t.test(`${lane}: request bodies arrive as they were sent`, async (t) => {
    const bodies = {
      "a number no double holds": Buffer.from('{ "n": 9007199254740993, "z": 1.0, "a":1e2 }'),
      "octets of no text": Buffer.from([0, 255, 128, 10, 13, 13, 10, 237, 160, 128]),
      "a body of 60 KiB": randomBytes(60 * 1024),
      "no body": Buffer.alloc(0),
    };
    for (const [name, body] of Object.entries(bodies)) {
      const type = name.includes("number") ? "application/json" : "application/octet-stream";
      const head = `POST ${path} HTTP/1.1\r\n${host}\r\n${key()}Content-Type: ${type}\r\nContent-Length: ${body.length}`;
      t.equal((await RawClient.exchange(port, head, body)).status, 201, name);
      t.ok(upstream.entries(path).at(-1)?.body.equals(body), name);
    }
  });

  t.test(`${lane}: a chunked request arrives whole`, async (t) => {
    const head = `POST ${path} HTTP/1.1\r\n${host}\r\n${key()}Transfer-Encoding: chunked`;
    const body = "5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: 1\r\n\r\n";
    t.equal((await RawClient.exchange(port, head, body)).status, 201);
    t.equal(upstream.entries(path).at(-1)?.body.toString(), "hello world");
  });

  t.test(`${lane}: request headers keep case, order and repeats; hop-by-hop ones stay behind`, async (t) => {
    const fields = [
      "X-zebra: 1",
      "x-Apple: \xe9\xff",
      "X-zebra: 2",
      "Cookie: a=1",
      "cookie: b=2",
      "ACCEPT: x/*;q=0.5,  y",
      "X-Empty:",
      "Content-Type: x/y; charset=z",
    ];
    const hops = [
      "Connection: keep-alive, X-Hop",
      "X-Hop: 1",
      "Keep-Alive: timeout=9",
      "TE: trailers",
      "Proxy-Authorization: Basic eA==",
    ];
    const head = `POST ${path}?q=%20a&b`;
    await RawClient.exchange(
      port,
      `${head} HTTP/1.1\r\n${[host, ...fields, ...hops].join("\r\n")}\r\n${key()}Content-Length: 2`,
      "ok",
    );
    const entry = upstream.entries(path).at(-1);
    t.equal(entry?.target, `${path}?q=%20a&b`, "the target is not tidied up");
    const arrived = entry?.headers
      .filter(([name]) => !ownHeaders.test(name))
      .map(([name, value]) => `${name}: ${value}`);
    t.same(
      arrived,
      fields.map((field) => field.replace(/:$/, ": ")),
    );
    const given = (name: string) => headerOf(entry ?? { headers: [] }, name);
    t.equal(given("host"), `127.0.0.1:${port}`, "the client's Host, as preserveHost says");
    t.equal(given("x-forwarded-for"), "127.0.0.1");
    t.equal(given("x-forwarded-proto"), "http");
    t.equal(given("x-forwarded-host"), `127.0.0.1:${port}`);
  });

  t.test(`${lane}: X-Forwarded-* of a client that nobody trusts are replaced`, async (t) => {
    const lies = "X-Forwarded-For: 10.9.8.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example";
    await RawClient.exchange(port, `POST ${path} HTTP/1.1\r\n${host}\r\n${key()}${lies}\r\nContent-Length: 0`);
    const values = upstream
      .entries(path)
      .at(-1)
      ?.headers.filter(([name]) => /^x-forwarded/i.test(name));
    t.same(values?.map(([, value]) => value).sort(), ["127.0.0.1", `127.0.0.1:${port}`, "http"]);
  });

  t.test(`${lane}: the answer keeps status, reason, header case, order and repeats`, async (t) => {
    const fields = ["X-Beta: 1", "set-cookie: a=1", "x-alpha: \xe9", "Set-Cookie: b=2", "X-Beta: 2"];
    upstream.on(
      path,
      octets(`HTTP/1.1 299 Quite So\r\n${fields.join("\r\n")}\r\nContent-Length: 3\r\n\r\n\x00\xff\x01`),
    );
    const request = `POST ${path} HTTP/1.1\r\n${host}\r\n${key()}Content-Length: 0`;
    for (const turn of ["first", "again"]) {
      const response = await RawClient.exchange(port, request);
      t.equal(response.status, 299, turn);
      t.equal(response.reason, "Quite So");
      const kept = response.headers.filter(([name]) => /^(x-(alpha|beta)|set-cookie)$/i.test(name));
      t.same(
        kept.map(([name, value]) => `${name}: ${value}`),
        fields,
        turn,
      );
      t.equal(response.body.toString("latin1"), "\x00\xff\x01");
    }
  });

  t.test(
    `${lane}: hop-by-hop headers of the answer stay behind, interim answers and trailers do no harm`,
    async (t) => {
      upstream.on(path, ({ response }) => {
        response.writeProcessing();
        response.writeEarlyHints({ link: "</style.css>; rel=preload" });
        response.writeHead(200, {
          "x-kept": "1",
          "proxy-authenticate": "Basic",
          "keep-alive": "timeout=3",
          trailer: "X-Sum",
        });
        response.write("chunk");
        response.addTrailers({ "X-Sum": "5" });
        response.end("ed");
      });
      const response = await RawClient.exchange(port, `POST ${path} HTTP/1.1\r\n${host}\r\n${key()}Content-Length: 0`);
      t.equal(response.status, 200);
      t.equal(response.body.toString(), "chunked");
      t.equal(headerOf(response, "x-kept"), "1");
      t.equal(headerOf(response, "proxy-authenticate"), undefined);
      t.not(headerOf(response, "keep-alive"), "timeout=3");
    },
  );

  t.test(`${lane}: Expect: 100-continue gets its 100, then the answer`, async (t) => {
    upstream.on(path, answer(201, "ok"));
    const client = await RawClient.connect(port);
    client.write(`POST ${path} HTTP/1.1\r\n${host}\r\n${key()}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`);
    t.equal((await client.head()).status, 100);
    client.write("12345");
    t.equal((await client.response()).status, 201);
    t.equal(upstream.entries(path).at(-1)?.body.toString(), "12345");
    client.hangUp();
  });

  t.test(`${lane}: several requests share a connection`, async (t) => {
    upstream.on(path, ({ entry, response }) => response.writeHead(201).end(entry.body));
    const client = await RawClient.connect(port);
    for (const body of ["a", "b", "c"]) {
      client.write(`POST ${path} HTTP/1.1\r\n${host}\r\n${key()}Content-Length: 1\r\n\r\n${body}`);
      t.equal((await client.response()).body.toString(), body);
    }
    client.hangUp();
  });

  t.test(`${lane}: a HEAD has no body, and the connection lives on`, async (t) => {
    const head = lane === "protected" ? "/protected-not" : path;
    upstream.on(head, ({ response }) => response.writeHead(200, { "content-length": "12" }).end());
    const client = await RawClient.connect(port);
    for (let turn = 0; turn < 2; turn++) {
      client.write(`HEAD ${head} HTTP/1.1\r\n${host}\r\n\r\n`);
      t.equal(headerOf(await client.response("HEAD"), "content-length"), "12");
    }
    client.hangUp();
  });
}

t.test("a refusal comes before the 100, so that the body is never sent", async (t) => {
  const before = upstream.journal.length;
  const refusals = [
    { fields: "Idempotency-Key: large\r\nContent-Length: 70000", status: 413 },
    { fields: "Content-Length: 5", status: 400 },
    { fields: "Idempotency-Key: a b\r\nContent-Length: 5", status: 400 },
  ];
  for (const { fields, status } of refusals) {
    const client = await RawClient.connect(port);
    client.write(`POST /protected HTTP/1.1\r\n${host}\r\nExpect: 100-continue\r\n${fields}\r\n\r\n`);
    const response = await client.response();
    t.same([response.status, response.interim], [status, []]);
    client.hangUp();
  }
  t.equal(upstream.journal.length, before);
});

t.test("a chunked body over the limit is refused on the way, and nothing is sent on", async (t) => {
  const before = upstream.journal.length;
  const client = await RawClient.connect(port);
  client.write(`POST /protected HTTP/1.1\r\n${host}\r\nIdempotency-Key: chunky\r\nTransfer-Encoding: chunked\r\n\r\n`);
  const chunk = Buffer.concat([Buffer.from("4000\r\n"), Buffer.alloc(0x4000), Buffer.from("\r\n")]);
  for (let sent = 0; sent < 5; sent++) client.write(chunk);
  t.equal((await client.response()).status, 413);
  client.hangUp();
  t.equal(upstream.journal.length, before);
  t.equal(await gateway.recordState("chunky"), "absent");
});

t.test("requests that can be read in two ways are refused", async (t) => {
  const before = upstream.journal.length;
  const line = "POST /protected HTTP/1.1";
  const key = "Idempotency-Key: k";
  const heads = {
    "two Hosts": `${line}\r\n${host}\r\n${host}\r\n${key}\r\nContent-Length: 0`,
    "no Host": `${line}\r\n${key}\r\nContent-Length: 0`,
    "both framings": `${line}\r\n${host}\r\n${key}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked`,
    "another coding": `${line}\r\n${host}\r\n${key}\r\nTransfer-Encoding: gzip, chunked`,
    "Connection names the key": `${line}\r\n${host}\r\n${key}\r\nConnection: idempotency-key\r\nContent-Length: 0`,
    "Connection names a scope": `${line}\r\n${host}\r\n${key}\r\nConnection: authorization\r\nContent-Length: 0`,
    "an underscore twin": `${line}\r\n${host}\r\n${key}\r\nIdempotency_Key: other\r\nContent-Length: 0`,
    "a fragment": `POST /protected#x HTTP/1.1\r\n${host}\r\n${key}\r\nContent-Length: 0`,
    "an encoded dot": `POST /x/%2e%2e/protected HTTP/1.1\r\n${host}\r\n${key}\r\nContent-Length: 0`,
    "a bad escape": `POST /protected%zz HTTP/1.1\r\n${host}\r\n${key}\r\nContent-Length: 0`,
    "another host's target": `POST http://evil.example/protected HTTP/1.1\r\n${host}\r\n${key}\r\nContent-Length: 0`,
  };
  for (const [name, head] of Object.entries(heads)) t.equal((await RawClient.exchange(port, head)).status, 400, name);
  const many = Array.from({ length: 201 }, (_, at) => `X-${at}: 1`).join("\r\n");
  t.equal((await RawClient.exchange(port, `${line}\r\n${host}\r\n${key}\r\n${many}\r\nContent-Length: 0`)).status, 431);
  t.equal(upstream.journal.length, before);
});

t.test("a key that is not to be forwarded stays here", async (t) => {
  await post(`${gateway.url}/hidden-key`, { key: "secret" });
  const [entry] = upstream.entries("/hidden-key");
  t.equal(headerOf(entry ?? { headers: [] }, "idempotency-key"), undefined);
});

t.test("unprotected: 100 MiB go up and 100 MiB come down, and memory stays flat", async (t) => {
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
  const beforeBytes = await rss();
  const client = await RawClient.connect(port);
  const { socket } = client;
  socket.removeAllListeners("data");
  socket.write(`POST /mirror HTTP/1.1\r\n${host}\r\nContent-Length: ${chunk.length * count}\r\n\r\n`);
  const received = createHash("sha256");
  let bytes = 0;
  let isHead = true;
  let highestBytes = 0;
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
    if (sent % 25 === 24) highestBytes = Math.max(highestBytes, await rss());
  }
  await whole;
  client.hangUp();
  t.equal(received.digest("hex"), expected);
  const grownMib = (highestBytes - beforeBytes) / 1024 / 1024;
  t.ok(grownMib < 64, `memory grew by ${grownMib.toFixed(1)} MiB`);
});

t.test("unprotected: events arrive one by one while the stream is open", async (t) => {
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

t.test("unprotected: a WebSocket is relayed both ways", async (t) => {
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

t.test("unprotected: every method passes, a GET keeps its body, a 503 is not tried again", async (t) => {
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

t.test("no route, and the published policy", async (t) => {
  const response = await fetch(`${gateway.url}/.well-known/idempotency`);
  t.equal(response.status, 200);
  const text = await response.text();
  t.match(text, /"protected"/);
  t.notMatch(text, new RegExp(String(upstream.port)), "no upstream address");
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
