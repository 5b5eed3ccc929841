import { randomBytes } from "node:crypto";
import t from "tap";
import { headerOf, post } from "./client.js";
import { Gateway } from "./harness.js";
import { RawClient } from "./raw-client.js";
import { answer, octets, Upstream } from "./upstream.js";

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
const ownHeaders =
  /^(host|connection|x-forwarded-.*|via|traceparent|idempotency-key|content-length|transfer-encoding)$/i;

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
      t.same(response.trailers, [["X-Sum", "5"]]);
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

t.test("the published policy tells no upstream's address", async (t) => {
  const response = await fetch(`${gateway.url}/.well-known/idempotency`);
  t.equal(response.status, 200);
  const text = await response.text();
  t.match(text, /"protected"/);
  t.notMatch(text, new RegExp(String(upstream.port)), "no upstream address");
});
