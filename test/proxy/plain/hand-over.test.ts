import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import t from "tap";
import { certificate, key } from "../../config/pem.js";
import { headerOf, post } from "../../e2e/client.js";
import { RawClient } from "../../e2e/raw-client.js";
import { answer, type Call, Upstream } from "../../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../../spec/gateway.js";

// Connections that begin with plain requests and go on with others, in clear and over TLS.

const upstream = await Upstream.start(t);
const folder = mkdtempSync(join(tmpdir(), "idempotency-tls-"));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, "cert"), certificate);
writeFileSync(join(folder, "key"), key);
const settings = (server: object) => ({
  server,
  routes: [
    guarded("/pay", upstream.url),
    guarded("/small", upstream.url, { response: { maxStored: "1KiB" } }),
    open("/*", upstream.url),
  ],
});
const clear = await SampleGateway.start(t, settings({}));
const secure = await SampleGateway.start(
  t,
  settings({ tls: { cert: join(folder, "cert"), key: join(folder, "key") } }),
);

/** A port behind which a connection is made over TLS. */
async function tunnel(port: number): Promise<number> {
  const server = createServer((near) => {
    const far = connectTls({ port, host: "127.0.0.1", ca: certificate, servername: "localhost" });
    for (const end of [near, far]) end.setNoDelay(true).on("error", () => {});
    near.on("close", () => far.destroy());
    near.pipe(far).pipe(near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

const host = "Host: localhost";
let keys = 0;
const newKey = () => `key-${++keys}`;
const protectedPost = (body: string, path = "/pay", key = newKey()) =>
  `POST ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: ${key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const echo = ({ entry, response }: Call) =>
  response.writeHead(201, { "content-length": entry.body.length }).end(entry.body);

const ports = { "in clear": clear.port, "over TLS": await tunnel(secure.port) };
for (const [how, port] of Object.entries(ports)) {
  t.test(`${how}: one request after the other, and rows of them`, async (t) => {
    upstream.on("/pay", echo);
    const client = await RawClient.connect(port);
    for (const size of [0, 1, 100, 15_000, 20_000, 500_000]) {
      const body = String(size).padEnd(size, "x");
      client.write(protectedPost(body));
      t.equal(String((await client.response()).body), body, `${size} bytes`);
    }
    client.write(["a", "b", "c"].map((body) => protectedPost(body)).join(""));
    for (const body of ["a", "b", "c"]) t.equal(String((await client.response()).body), body);
    client.hangUp();
  });

  const odd: Record<string, { request: string; status: number; interim?: number[] }> = {
    "a GET": { request: `GET /bare HTTP/1.1\r\n${host}\r\n\r\n`, status: 200 },
    "a POST that is not protected": {
      request: `POST /bare HTTP/1.1\r\n${host}\r\nContent-Length: 3\r\n\r\nabc`,
      status: 200,
    },
    "a POST without its key": { request: `POST /pay HTTP/1.1\r\n${host}\r\nContent-Length: 3\r\n\r\nabc`, status: 400 },
    "a POST in chunks": {
      request: `POST /pay HTTP/1.1\r\n${host}\r\nIdempotency-Key: KEY\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
      status: 201,
    },
    "a POST that waits for a 100": {
      request: `POST /pay HTTP/1.1\r\n${host}\r\nIdempotency-Key: KEY\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc`,
      status: 201,
      interim: [100],
    },
  };
  for (const [name, { request, status, interim = [] }] of Object.entries(odd)) {
    t.test(`${how}: ${name} after plain requests, and plain ones after it`, async (t) => {
      upstream.on("/bare", answer(200, "bare"));
      const client = await RawClient.connect(port);
      const row = () => [protectedPost("1"), protectedPost("2"), request.replace("KEY", newKey()), protectedPost("3")];
      const same = async (what: string) => {
        t.equal(String((await client.response()).body), "1", what);
        t.equal(String((await client.response()).body), "2", what);
        t.match(await client.response(), { status, interim }, what);
        t.equal(String((await client.response()).body), "3", what);
      };
      client.write(row().join(""));
      await same("at once");
      client.hangUp();
      const slow = await RawClient.connect(port);
      for (const [at, one] of row().entries()) {
        slow.write(one.slice(0, 20));
        await pause(2);
        slow.write(one.slice(20));
        const response = await slow.response();
        t.equal(response.status, at === 2 ? status : 201, `in pieces, ${at}`);
      }
      slow.hangUp();
      const before = upstream.journal.length;
      const cut = await RawClient.connect(port);
      const text = row().join("");
      for (let from = 0; from < text.length; from += 7) {
        cut.write(text.slice(from, from + 7));
        await new Promise((resolve) => setImmediate(resolve));
      }
      for (const expected of [201, 201, status, 201])
        t.equal((await cut.response()).status, expected, "in small pieces");
      t.equal(upstream.journal.length, before + (status === 400 ? 3 : 4), "none is lost or sent twice");
      cut.hangUp();
    });
  }

  t.test(`${how}: a long row with a GET at its end, read in its turn`, async (t) => {
    const client = await RawClient.connect(port);
    const bodies = Array.from({ length: 12 }, (_, at) => String.fromCharCode(97 + at).repeat(30_000));
    const get = `GET /bare HTTP/1.1\r\n${host}\r\n\r\n`;
    client.write(bodies.map((body) => protectedPost(body)).join("") + get + protectedPost("last") + get);
    for (const body of bodies) t.equal(String((await client.response()).body), body);
    for (const body of ["bare", "last", "bare"]) t.equal(String((await client.response()).body), body);
    client.hangUp();
  });

  t.test(`${how}: answers that node writes, with others before and behind them`, async (t) => {
    const large = "0123456789abcdef".repeat(50_000);
    upstream.on("/small", ({ entry, response }) => {
      const [kind] = String(entry.body).split(" ");
      if (kind === "trailers") {
        response.writeHead(200, { Trailer: "X-Sum" });
        response.addTrailers({ "X-Sum": "1" });
        response.end("abc");
      } else if (kind === "events") response.writeHead(200, { "content-type": "text/event-stream" }).end("data: 1\n\n");
      else if (kind === "sized") response.writeHead(200, { "content-length": large.length }).end(large);
      else response.writeHead(200).end(large);
    });
    const expected: Record<string, string> = { trailers: "abc", events: "data: 1\n\n", sized: large, chunked: large };
    const kinds = Object.keys(expected);
    const client = await RawClient.connect(port);
    const row = kinds.map((kind) => [protectedPost("before"), protectedPost(kind, "/small"), protectedPost("after")]);
    const check = async (kind: string) => {
      t.equal(String((await client.response()).body), "before");
      const response = await client.response();
      t.ok(String(response.body) === expected[kind], kind);
      t.equal(headerOf(response, "connection"), "keep-alive");
      if (kind === "trailers") t.same(response.trailers, [["X-Sum", "1"]]);
      t.equal(String((await client.response()).body), "after");
    };
    client.write(row.flat().join(""));
    for (const kind of kinds) await check(kind);
    for (const kind of kinds) {
      client.write(row[kinds.indexOf(kind)]?.join("") ?? "");
      if (kind === "trailers") {
        await check(kind);
        continue;
      }
      t.equal((await client.response()).status, 201);
      t.equal((await client.response()).status, 409, `${kind}: not stored`);
      t.equal((await client.response()).status, 201);
    }
    client.hangUp();
  });
}

t.test("a client that has left before its answer begins to stream: it is read to its end", async (t) => {
  const gateway = clear;
  for (const kind of ["whole", "events"]) {
    let isRead = false;
    let go = () => {};
    upstream.on("/small", ({ response }) => {
      go = () => {
        if (kind === "events") {
          response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
          response.end("data: 2\n\n", () => {
            isRead = true;
          });
          return;
        }
        response.writeHead(200, { "content-length": 3_000_000 });
        response.end(Buffer.alloc(3_000_000), () => {
          isRead = true;
        });
      };
    });
    const before = upstream.count("/small");
    const key = newKey();
    const client = await RawClient.connect(gateway.port);
    client.write(protectedPost("x", "/small", key));
    await upstream.arrived("/small", before + 1);
    client.hangUp();
    await pause(20);
    go();
    await gateway.until(kind, () => isRead);
    await gateway.quiet();
    t.match(await post(`${gateway.url}/small`, { key, body: "x", headers: { host: "localhost" } }), { status: 409 });
  }
});

t.test("a large unprotected upload behind a plain request arrives whole, whatever the pieces are", async (t) => {
  upstream.on("/pay", echo);
  upstream.on("/bare", echo);
  for (const bytes of [65_536, 80_000, 130_000]) {
    const client = await RawClient.connect(clear.port);
    const head = `POST /bare HTTP/1.1\r\n${host}\r\nContent-Length: `;
    client.write(`${protectedPost("first")}${head}${bytes}\r\n\r\n${"y".repeat(bytes)}`);
    t.equal((await client.response()).body.toString(), "first");
    const second = await client.response();
    t.match([second.status, second.body.length], [201, bytes]);
    // So that one read of the socket is the end of the body.
    const alone = await RawClient.connect(clear.port);
    const length = bytes - `${head}${bytes}\r\n\r\n`.length;
    alone.write(`${head}${length}\r\n\r\n${"y".repeat(length)}`);
    t.match((await alone.response()).status, 201);
    client.hangUp();
    alone.hangUp();
  }
});
