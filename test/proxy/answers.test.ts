import type { ServerResponse } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { headerOf, post } from "../e2e/client.js";
import { RawClient, type RawResponse } from "../e2e/raw-client.js";
import { answer, type Behaviour, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";
import { octets } from "../spec/octets.js";

// What an upstream may answer, and what the first client, those who wait and those who come later get of it.

const upstream = await Upstream.start(t);
const small = { response: { maxStored: "1KiB" } };
const gateway = await SampleGateway.start(t, {
  routes: [
    guarded("/pay", upstream.url),
    guarded("/omit", upstream.url, { response: { omitHeaders: ["Set-Cookie", "x-trace"] } }),
    guarded("/marked", upstream.url, { replayHeader: "X-Again" }),
    guarded("/small", upstream.url, small),
    guarded("/quick", upstream.url, small, { timeout: "400ms" }),
    open("/quick-bare", upstream.url, { timeout: "400ms" }),
    guarded("/slow", upstream.url, {}, { timeout: "300ms" }),
    guarded("/queue-head", upstream.url, {}, { timeout: "20s", connections: 1 }),
    guarded("/queued", upstream.url, {}, { timeout: "300ms", connections: 1 }),
    guarded("/tls", upstream.url.replace("http:", "https:")),
    { ...guarded("/any-method", upstream.url), match: { path: "/any-method", methods: ["HEAD", "GET", "DELETE"] } },
    open("/*", upstream.url),
  ],
});
const { port, url } = gateway;
const host = `Host: 127.0.0.1:${port}`;

/** A request over a bare socket: the answer as it is on the wire. */
function raw(path: string, key: string, method = "POST"): Promise<RawResponse> {
  return RawClient.exchange(
    port,
    `${method} ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: ${key}\r\nContent-Length: 0`,
  );
}

/** Without what belongs to the connection, `Via`, and the time until which the answer is kept. */
const fieldsOf = (response: RawResponse) =>
  response.headers
    .filter(([name]) => !/^(connection|keep-alive|via|idempotency-record|idempotency-expires)$/i.test(name))
    .map((pair) => pair.join(": "));

let keys = 0;
const newKey = () => `key-${++keys}`;

t.test("the first answer is the upstream's, field by field; a replay has Age and the mark behind it", async (t) => {
  const fields = [
    "X-b: 1",
    "Date: Mon, 01 Jan 2024 00:00:00 GMT",
    "x-A: \xe9\x80",
    "X-b: 2",
    "Content-Length: 3",
    "ETag:",
  ];
  upstream.on("/pay", octets(`HTTP/1.1 201 Made\r\n${fields.join("\r\n")}\r\n\r\n\x00\xff\n`));
  const key = newKey();
  const sent = fields.map((field) => (field.endsWith(":") ? `${field} ` : field));
  const first = await raw("/pay", key);
  t.same(fieldsOf(first), sent);
  gateway.store.passTime(90_000);
  const replay = await raw("/pay", key);
  t.same(fieldsOf(replay), [...sent, "Age: 90", "Idempotent-Replayed: true"]);
  for (const response of [first, replay]) {
    t.match([response.status, response.reason, response.body.toString("latin1")], [201, "Made", "\x00\xff\n"]);
  }
});

t.test("a stored answer says until when it is replayed, and what is not stored does not", async (t) => {
  upstream.on("/pay", octets("HTTP/1.1 200 OK\r\nIdempotency-Expires: never\r\nContent-Length: 0\r\n\r\n"));
  const key = newKey();
  const untilOf = (response: RawResponse) => Date.parse(headerOf(response, "idempotency-expires") ?? "");
  const first = untilOf(await raw("/pay", key));
  t.ok(first > Date.now(), "an HTTP date, and the upstream's own is left out");
  gateway.store.passTime(60_000);
  const replay = untilOf(await raw("/pay", key));
  t.ok(first - replay >= 55_000 && first - replay <= 61_000, "of the record, so that it stays where it is");
  upstream.on("/pay", answer(429, "later"));
  t.equal(headerOf(await raw("/pay", newKey()), "idempotency-expires"), undefined);
});

t.test("without a Date none is made up, and an Age is counted on", async (t) => {
  upstream.on("/pay", octets("HTTP/1.1 200 OK\r\nAge: 100\r\nContent-Length: 0\r\n\r\n"));
  const key = newKey();
  t.same(fieldsOf(await raw("/pay", key)), ["Age: 100", "Content-Length: 0"]);
  gateway.store.passTime(5_000);
  t.same(fieldsOf(await raw("/pay", key)), ["Content-Length: 0", "Age: 105", "Idempotent-Replayed: true"]);
});

t.test("who waited is marked too, and has no Age", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "shared")));
  const key = newKey();
  const before = upstream.count("/pay");
  const first = raw("/pay", key);
  await upstream.arrived("/pay", before + 1);
  const second = raw("/pay", key);
  await gateway.waiting(1);
  gate.open();
  t.equal(headerOf(await first, "idempotent-replayed"), undefined);
  t.equal(headerOf(await second, "idempotent-replayed"), "true");
  t.equal(headerOf(await second, "age"), undefined);
});

t.test("only the gateway says what is a replay", async (t) => {
  upstream.on("/marked", answer(200, "", { "x-again": "true", "idempotent-replayed": "mine" }));
  const key = newKey();
  const first = await raw("/marked", key);
  t.equal(headerOf(first, "x-again"), undefined);
  t.equal(headerOf(first, "idempotent-replayed"), "mine", "another field under the usual name is the upstream's own");
  t.equal(headerOf(await raw("/marked", key), "x-again"), "true");
});

t.test("what is not to be stored reaches the first client and nobody else", async (t) => {
  const gate = new Gate();
  const fields = { "set-cookie": "session=1", "X-Trace": "abc", "x-kept": "1" };
  upstream.on("/omit", gate.before(answer(201, "ok", fields)));
  const key = newKey();
  const first = raw("/omit", key);
  await upstream.arrived("/omit");
  const waited = raw("/omit", key);
  await gateway.waiting(1);
  gate.open();
  t.same([headerOf(await first, "set-cookie"), headerOf(await first, "x-trace")], ["session=1", "abc"]);
  for (const response of [await waited, await raw("/omit", key)]) {
    t.same([headerOf(response, "set-cookie"), headerOf(response, "x-trace")], [undefined, undefined]);
    t.equal(headerOf(response, "x-kept"), "1");
  }
});

for (const path of ["/pay", "/bare"]) {
  const lane = path === "/pay" ? "protected" : "unprotected";

  t.test(`${lane}: trailers arrive, on a replay too`, async (t) => {
    upstream.on(path, ({ response }) => {
      response.writeHead(200, { trailer: "X-Sum" });
      response.write("a");
      response.addTrailers([
        ["X-Sum", "5"],
        ["x-sum", "6"],
      ] as never);
      response.end("b");
    });
    const key = newKey();
    for (let turn = 0; turn < 2; turn++) {
      const response = await raw(path, key);
      t.equal(response.body.toString(), "ab");
      t.equal(headerOf(response, "trailer"), "X-Sum");
      t.same(response.trailers, [
        ["X-Sum", "5"],
        ["x-sum", "6"],
      ]);
    }
  });

  t.test(`${lane}: an answer that has no body may tell its length, and the connection lives on`, async (t) => {
    for (const status of [204, 304]) {
      upstream.on(path, octets(`HTTP/1.1 ${status} X\r\nContent-Length: 5\r\nETag: "1"\r\n\r\n`));
      const client = await RawClient.connect(port);
      const key = newKey();
      for (let turn = 0; turn < 2; turn++) {
        client.write(`POST ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: ${key}\r\nContent-Length: 0\r\n\r\n`);
        t.match(await client.response(), { status }, `${status}, turn ${turn}`);
      }
      client.hangUp();
    }
  });

  t.test(`${lane}: a reason phrase passes as octets, or not at all`, async (t) => {
    const reasons = {
      "Made It": "Made It",
      "": "",
      [Buffer.from("Créé €").toString("latin1")]: Buffer.from("Créé €").toString("latin1"),
      "Gel\xf6scht": "",
      "a\x01b": "",
    };
    for (const [sent, expected] of Object.entries(reasons)) {
      upstream.on(path, octets(`HTTP/1.1 299 ${sent}\r\nX-Value: \xfc\r\nContent-Length: 2\r\n\r\nok`));
      const key = newKey();
      for (let turn = 0; turn < 2; turn++) {
        const response = await raw(path, key);
        t.same([response.status, response.reason, response.body.toString()], [299, expected, "ok"]);
        t.equal(headerOf(response, "x-value"), "\xfc");
      }
    }
  });

  t.test(`${lane}: statuses that nobody has defined pass`, async (t) => {
    for (const status of [299, 418, 600, 799, 999]) {
      upstream.on(path, octets(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`));
      t.equal((await raw(path, newKey())).status, status);
    }
  });

  t.test(`${lane}: interim answers are no answers`, async (t) => {
    upstream.on(
      path,
      octets(
        "HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Go\r\n\r\nHTTP/1.1 201 Yes\r\nContent-Length: 1\r\n\r\n1",
      ),
    );
    t.match(await raw(path, newKey()), { status: 201, reason: "Yes" });
  });

  t.test(`${lane}: an answer that ends with its connection is whole only if that was closed in order`, async (t) => {
    upstream.on(path, octets("HTTP/1.1 201 Made\r\n\r\n12345", "fin"));
    t.match((await post(url + path, { key: newKey() })).text, "12345");
    upstream.on(path, octets("HTTP/1.1 201 Made\r\n\r\n12345", "rst"));
    if (lane === "protected")
      t.match(await post(url + path, { key: newKey() }), { status: 502, code: "upstream-reset" });
    else await t.rejects(post(url + path), "what was cut off upstream is cut off here");
  });

  t.test(`${lane}: what breaks off upstream is never given out as whole`, async (t) => {
    const torn = {
      length: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
      chunked: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
      "bad chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nzz\r\n",
    };
    for (const [name, text] of Object.entries(torn)) {
      upstream.on(path, octets(text, name === "bad chunk" ? "open" : "fin"));
      if (lane === "protected") t.match(await post(url + path, { key: newKey() }), { code: "upstream-reset" }, name);
      else await t.rejects(post(url + path), name);
    }
  });
}

t.test("an answer that cannot be read was given all the same: in doubt", async (t) => {
  const unreadable = {
    "a 101 that nobody asked for": "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
    "both framings": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a head of 70 KiB": `HTTP/1.1 200 OK\r\nX-Large: ${"x".repeat(70 * 1024)}\r\nContent-Length: 0\r\n\r\n`,
    "no status": "HTTP/1.1 OK\r\n\r\n",
  };
  for (const [name, text] of Object.entries(unreadable)) {
    upstream.on("/pay", octets(text));
    const before = upstream.count("/pay");
    const key = newKey();
    t.match(await post(`${url}/pay`, { key }), { status: 502, code: "upstream-reset" }, name);
    t.match(await post(`${url}/pay`, { key }), { status: 409, code: "outcome-unknown" }, name);
    t.equal(upstream.count("/pay"), before + 1, `${name}: sent once`);
  }
});

t.test("a total deadline, not a pause between octets: who trickles is in doubt in time", async (t) => {
  const silent: Behaviour = () => {};
  const trickle: Behaviour = async ({ response }) => {
    response.writeHead(200, { "content-length": "1000" });
    for (let at = 0; at < 1000 && !response.destroyed; at++) {
      response.write("x");
      await pause(50);
    }
  };
  for (const behaviour of [silent, trickle]) {
    upstream.on("/slow", behaviour);
    const key = newKey();
    t.match(await post(`${url}/slow`, { key }), { status: 504, code: "upstream-timeout" });
    t.match(await post(`${url}/slow`, { key }), { status: 409, code: "outcome-unknown" });
  }
  t.same(
    gateway
      .seen("inDoubt")
      .slice(-2)
      .map(({ cause }) => cause),
    ["timeout", "timeout"],
  );
});

t.test("what never left the queue was not sent: its key is free", async (t) => {
  const gate = new Gate();
  upstream.on("/queue-head", gate.before(answer(201, "one at a time")));
  upstream.on("/queued", answer(201, "the next one"));
  const [busy, queued] = [newKey(), newKey()];
  // The same pool, of one connection; only the second route gives up soon.
  const first = post(`${url}/queue-head`, { key: busy });
  await upstream.arrived("/queue-head");
  t.match(await post(`${url}/queued`, { key: queued }), { status: 502, code: "upstream-unreachable" });
  gate.open();
  t.match(await first, { status: 201 });
  t.match(await post(`${url}/queued`, { key: queued }), { status: 201, isReplayed: false });
  t.equal(upstream.count("/queued"), 1, "and it is not sent later behind everybody's back");
});

t.test("a TLS handshake that fails sends nothing: its key is free", async (t) => {
  const key = newKey();
  for (let turn = 0; turn < 2; turn++) {
    const reply = await post(`${url}/tls`, { key });
    t.match(reply, { status: 502, code: "upstream-unreachable" });
    t.match(JSON.parse(reply.text), { retryable: true });
  }
});

t.test("a kept connection that the upstream drops costs no request its certainty", async (t) => {
  for (const drop of ["destroy", "resetAndDestroy"] as const) {
    upstream.on("/pay", answer(201, "ok"));
    await post(`${url}/pay`, { key: newKey() });
    const before = upstream.count("/pay");
    for (const socket of upstream.sockets) socket[drop]();
    const key = newKey();
    const reply = await post(`${url}/pay`, { key });
    if (reply.status !== 201) t.match(reply, { code: "upstream-unreachable" });
    t.match(await post(`${url}/pay`, { key }), { status: 201 });
    t.equal(upstream.count("/pay"), before + 1, drop);
  }
});

t.test("too large to keep: the first client gets every octet, everybody else is told that it was done", async (t) => {
  const body = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251));
  const kinds: Record<string, Behaviour> = {
    "by its declared length": answer(201, body, { "x-kept": "1" }),
    "while it arrives": ({ response }) => {
      response.writeHead(201, { "x-kept": "1", trailer: "x-sum" });
      response.write(body.subarray(0, 1000));
      response.write(body.subarray(1000));
      response.addTrailers({ "x-sum": "1" });
      response.end();
    },
    "by one octet": answer(201, body.subarray(0, 1025), { "x-kept": "1" }),
  };
  for (const [name, behaviour] of Object.entries(kinds)) {
    const gate = new Gate();
    const before = upstream.count("/small");
    upstream.on("/small", gate.before(behaviour));
    const key = newKey();
    const first = post(`${url}/small`, { key });
    await upstream.arrived("/small", before + 1);
    const waits = [1, 2].map(() => post(`${url}/small`, { key }));
    await gateway.waiting(2);
    gate.open();
    const got = await first;
    t.match([got.status, headerOf(got, "x-kept")], [201, "1"], name);
    t.ok(got.body.equals(body.subarray(0, got.body.length)) && got.body.length >= 1025);
    for (const reply of [...(await Promise.all(waits)), await post(`${url}/small`, { key })]) {
      t.match(reply, { status: 409, code: "response-not-stored" });
      t.equal(headerOf(reply, "retry-after"), undefined);
    }
    t.equal(upstream.count("/small"), before + 1);
  }
  upstream.on("/small", answer(201, body.subarray(0, 1024)));
  const key = newKey();
  await post(`${url}/small`, { key });
  t.match(await post(`${url}/small`, { key }), { status: 201, isReplayed: true }, "exactly the limit is kept");
});

t.test("too large to keep, but not done: the key is free; perhaps done: it is in doubt", async (t) => {
  const large = Buffer.alloc(5000, "x");
  for (const { status, later } of [
    { status: 429, later: { status: 201, isReplayed: false } },
    { status: 502, later: { status: 409, code: "outcome-unknown" } },
  ]) {
    const gate = new Gate();
    upstream.on("/small", gate.before(answer(status, large)));
    const before = upstream.count("/small");
    const key = newKey();
    const first = post(`${url}/small`, { key });
    await upstream.arrived("/small", before + 1);
    const waits = post(`${url}/small`, { key });
    await gateway.waiting(1);
    gate.open();
    t.match(await first, { status, text: large.toString() });
    t.match(await waits, { status: 409, code: status === 429 ? "in-progress" : "outcome-unknown" });
    upstream.on("/small", answer(201));
    t.match(await post(`${url}/small`, { key }), later);
  }
});

t.test("a reader that takes its time is no silent upstream; a silent upstream is cut off", async (t) => {
  const chunk = Buffer.alloc(1024 * 1024);
  const behaviour = (response: ServerResponse, chunks: number) => {
    response.writeHead(200, { "content-length": String(chunk.length * 16) });
    for (let at = 0; at < chunks; at++) response.write(chunk);
    if (chunks === 16) response.end();
  };
  for (const path of ["/quick", "/quick-bare"]) {
    upstream.on(path, ({ response }) => behaviour(response, 16));
    const client = await RawClient.connect(port);
    client.write(`POST ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: ${newKey()}\r\nContent-Length: 0\r\n\r\n`);
    await client.head();
    client.socket.removeAllListeners("data");
    client.socket.pause();
    await pause(250);
    let bytes = client.received.length - client.received.indexOf("\r\n\r\n") - 4;
    client.socket.on("data", (part) => {
      bytes += part.length;
    });
    client.socket.resume();
    await gateway.until(`${path}: all of it comes after a pause`, () => bytes === chunk.length * 16);
    client.hangUp();
    upstream.on(path, ({ response }) => behaviour(response, 1));
    await t.rejects(post(url + path, { key: newKey() }), `${path}: cut off, not left hanging`);
  }
});

t.test("an event stream may last longer than the timeout, and not be silent for longer", async (t) => {
  for (const path of ["/quick", "/quick-bare"]) {
    upstream.on(path, async ({ response }) => {
      response.writeHead(200, { "content-type": "Text/Event-Stream; charset=utf-8" });
      for (let at = 0; at < 9; at++) {
        response.write(`data: ${at}\n\n`);
        await pause(80);
      }
      response.end("data: 9\n\n");
    });
    t.match((await post(url + path, { key: newKey() })).text, /data: 9\n\n$/, path);
    upstream.on(path, ({ response }) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
    });
    await t.rejects(post(url + path, { key: newKey() }), `${path}: silent, torn`);
  }
});

t.test("other methods than POST are protected where the route says so, HEAD without its body", async (t) => {
  upstream.on("/any-method", ({ entry, response }) => {
    response.writeHead(200, { "content-length": "5", "x-method": entry.method });
    response.end("12345");
  });
  for (const method of ["HEAD", "GET", "DELETE"]) {
    const key = newKey();
    const before = upstream.count("/any-method");
    for (let turn = 0; turn < 2; turn++) {
      const client = await RawClient.connect(port);
      client.write(`${method} /any-method HTTP/1.1\r\n${host}\r\nIdempotency-Key: ${key}\r\n\r\n`);
      const response = await client.response(method);
      t.match([headerOf(response, "content-length"), headerOf(response, "x-method")], ["5", method]);
      t.equal(response.body.toString(), method === "HEAD" ? "" : "12345");
      t.equal(headerOf(response, "idempotent-replayed"), turn === 0 ? undefined : "true");
      client.hangUp();
    }
    t.equal(upstream.count("/any-method"), before + 1);
  }
});

t.test("a record that holds what node will not write is told of, and hangs nobody", async (t) => {
  upstream.on("/pay", answer(500));
  const key = newKey();
  await post(`${url}/pay`, { key });
  const record = (await gateway.records()).find(({ status }) => status === 500);
  const faults = gateway.seen("fault").length;
  await gateway.store.forget(record!.key);
  upstream.on("/pay", octets("", "fin"));
  await post(`${url}/pay`, { key });
  const response = { status: 200, reason: "", headers: ["X-Bad", "a\nb"], body: Buffer.from("x"), trailers: [] };
  t.equal(await gateway.store.resolve(record!.key, { kind: "done", response, retentionMs: 60_000 }), "resolved");
  const replies = await Promise.all([1, 2, 3].map(() => post(`${url}/pay`, { key })));
  for (const reply of replies) t.match(reply, { status: 500, code: "internal" });
  t.equal(gateway.seen("fault").length, faults + 3);
});
