import { once } from "node:events";
import { request as httpRequest } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { headerOf, post } from "../e2e/client.js";
import { freePort } from "../e2e/free-port.js";
import { RawClient } from "../e2e/raw-client.js";
import { answer, Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";
import { octets, reset } from "../spec/octets.js";

// The unprotected lane: everything passes as it is, both ways, as it comes.

const upstream = await Upstream.start(t);
const nobody = `http://127.0.0.1:${await freePort()}`;
const gateway = await SampleGateway.start(t, {
  routes: [
    guarded("/pay", upstream.url),
    open("/nobody", nobody),
    open("/quick", upstream.url, { timeout: "400ms" }),
    open("/*", upstream.url),
  ],
});
const { port, url } = gateway;
const host = `Host: 127.0.0.1:${port}`;
const upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
const told = (path: string) =>
  gateway
    .seen("request")
    .filter((event) => event.path === path)
    .map(({ status, result }) => `${status} ${result}`);

t.test("both sides stream at once: what is sent comes back before more is sent", async (t) => {
  upstream.onStream("/echo", (request, response) => {
    response.writeHead(200);
    request.pipe(response);
  });
  const client = await RawClient.connect(port);
  client.write(`POST /echo HTTP/1.1\r\n${host}\r\nTransfer-Encoding: chunked\r\n\r\n`);
  for (let turn = 0; turn < 5; turn++) {
    client.write("3\r\nabc\r\n");
    if (turn === 0) t.equal((await client.head()).status, 200);
    t.equal((await client.bytes(8)).toString(), "3\r\nabc\r\n");
  }
  client.write("0\r\n\r\n");
  t.equal((await client.bytes(5)).toString(), "0\r\n\r\n");
  client.hangUp();
});

t.test("the head of an answer comes at once, before any of its body", async (t) => {
  upstream.on("/head-first", async ({ response }) => {
    response.writeHead(200, { "x-early": "1" }).flushHeaders();
    await gone;
    response.end("body");
  });
  let go = () => {};
  const gone = new Promise<void>((resolve) => {
    go = resolve;
  });
  const client = await RawClient.connect(port);
  client.write(`GET /head-first HTTP/1.1\r\n${host}\r\n\r\n`);
  t.equal(headerOf(await client.head(), "x-early"), "1");
  go();
  t.equal((await client.bytes(14)).toString(), "4\r\nbody\r\n0\r\n\r\n");
  client.hangUp();
});

t.test("every method passes, with a body or without", async (t) => {
  for (const method of ["GET", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "QUERY", "LOCK", "PURGE", "TRACE"]) {
    for (const body of ["", "<x/>"]) {
      if (method === "QUERY" && process.versions.node.startsWith("20.")) continue;
      const head = `${method} /dav?x HTTP/1.1\r\n${host}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}`;
      t.equal((await RawClient.exchange(port, head, body)).status, 201, method);
      t.match(upstream.entries("/dav").at(-1), { method, target: "/dav?x" });
      t.equal(upstream.entries("/dav").at(-1)?.body.toString(), body);
    }
  }
});

t.test("a HEAD has the length of what it is the head of, and the connection lives on", async (t) => {
  upstream.on("/sized", answer(200, "", { "content-length": "12345" }));
  const client = await RawClient.connect(port);
  for (let turn = 0; turn < 2; turn++) {
    client.write(`HEAD /sized HTTP/1.1\r\n${host}\r\n\r\n`);
    t.equal(headerOf(await client.response("HEAD"), "content-length"), "12345");
  }
  client.hangUp();
});

t.test("nothing is tried again, whatever the answer says", async (t) => {
  upstream.on("/busy", answer(503, "busy", { "retry-after": "0" }));
  upstream.on("/broken", octets("", "rst"));
  for (const method of ["GET", "OPTIONS", "POST"]) {
    const before = upstream.count("/busy");
    t.equal((await post(`${url}/busy`, { method })).status, 503, method);
    t.equal(upstream.count("/busy"), before + 1);
  }
  // The connection before was used already: `upstream-reuse.test.ts` has what becomes of a GET.
  for (const method of ["OPTIONS", "POST"]) {
    const before = upstream.count("/broken");
    t.equal((await post(`${url}/broken`, { method })).status, 502, method);
    t.equal(upstream.count("/broken"), before + 1);
  }
});

t.test("an upload may take longer than the upstream's timeout", async (t) => {
  const client = await RawClient.connect(port);
  client.write(`POST /quick HTTP/1.1\r\n${host}\r\nContent-Length: 8\r\n\r\n`);
  for (let at = 0; at < 8; at++) {
    client.write("x");
    await pause(100);
  }
  t.equal((await client.response()).status, 201);
  t.equal(upstream.entries("/quick").at(-1)?.body.toString(), "xxxxxxxx");
  client.hangUp();
});

t.test(
  "an answer that comes before the upload is over reaches the client, also when the upstream breaks off",
  async (t) => {
    const kinds: Record<string, { status: number; behave: (socket: Socket) => void }> = {
      refusal: { status: 413, behave: (socket) => void socket.write("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno") },
      reset: { status: 502, behave: (socket) => reset(socket) },
    };
    for (const [name, { status, behave }] of Object.entries(kinds)) {
      upstream.onStream("/early", (request) => behave(request.socket));
      const bytes = 6 * 1024 * 1024;
      const client = await RawClient.connect(port);
      client.write(`POST /early HTTP/1.1\r\n${host}\r\nContent-Length: ${bytes}\r\n\r\n`);
      // A client that writes all of it before it reads: it must not be left hanging.
      const chunk = Buffer.alloc(256 * 1024);
      for (let sent = 0; sent < bytes; sent += chunk.length) {
        if (!client.socket.write(chunk) && !client.socket.destroyed)
          await Promise.race([once(client.socket, "drain"), once(client.socket, "close")]);
      }
      t.equal((await client.response()).status, status, name);
      client.hangUp();
    }
  },
);

t.test("where nobody listens, a client with a large body is told so", async (t) => {
  const reply = await post(`${url}/nobody`, { body: Buffer.alloc(5_000_000) });
  t.match(reply, { status: 502, code: "upstream-unreachable" });
});

t.test("a WebSocket passes octet for octet, with what both sides say of it", async (t) => {
  const sockets: Socket[] = [];
  let seen: string[] = [];
  upstream.onUpgrade("/socket", (request, socket, head) => {
    sockets.push(socket);
    seen = request.rawHeaders;
    const fields = ["Upgrade: websocket", "Connection: Upgrade", "X-b: 1", "x-A: \xe9", "Sec-WebSocket-Protocol: two"];
    socket.write(Buffer.from(`HTTP/1.1 101 Switching Protocols\r\n${fields.join("\r\n")}\r\n\r\nfirst`, "latin1"));
    socket.write(head);
    socket.pipe(socket);
  });
  const client = await RawClient.connect(port);
  const sent = ["Sec-WebSocket-Protocol: one, two", "sec-websocket-extensions: permessage-deflate", "Cookie: a=1"];
  client.write(`GET /socket?x=%20 HTTP/1.1\r\n${host}\r\n${upgrade}\r\n${sent.join("\r\n")}\r\n\r\nearly`);
  const head = await client.head();
  t.equal(head.status, 101);
  t.same(
    head.headers.filter(([name]) => name !== "Via").map((pair) => pair.join(": ")),
    ["Upgrade: websocket", "Connection: Upgrade", "X-b: 1", "x-A: \xe9", "Sec-WebSocket-Protocol: two"],
  );
  t.equal((await client.bytes(10)).toString(), "firstearly");
  client.write(Buffer.from([0x81, 0x00, 0xff]));
  t.same(await client.bytes(3), Buffer.from([0x81, 0x00, 0xff]));
  for (const field of sent) t.ok(seen.includes(field.split(": ")[1] ?? ""), field);
  t.ok(seen.includes("X-Forwarded-For"));
  sockets[0]?.end("bye");
  t.equal((await client.bytes(3)).toString(), "bye");
  await client.ended();
  await gateway.until("it is told of", () => told("/socket").length > 0);
  t.same(told("/socket"), ["101 unprotected"]);
});

t.test("a WebSocket ends on both sides when either leaves", async () => {
  const accept = (socket: Socket) =>
    socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  const upgraded = () =>
    new Promise<Socket>((resolve) => {
      upstream.onUpgrade("/leaves", (_request, socket) => {
        accept(socket);
        socket.resume().on("end", () => socket.end());
        resolve(socket);
      });
    });
  for (const who of ["client", "upstream"]) {
    const arrived = upgraded();
    const client = await RawClient.connect(port);
    client.write(`GET /leaves HTTP/1.1\r\n${host}\r\n${upgrade}\r\n\r\n`);
    await client.head();
    const socket = await arrived;
    const closed = once(socket, "close");
    if (who === "client") client.hangUp();
    else socket.resetAndDestroy();
    await closed;
    await client.ended();
  }
});

t.test("an upgrade that is refused, fails or breaks off ends as such", async (t) => {
  upstream.onUpgrade("/refused", (_request, socket) =>
    socket.end("HTTP/1.1 403 No\r\nX-Why: 1\r\nContent-Length: 5\r\n\r\nsorry"),
  );
  upstream.onUpgrade("/torn", (_request, socket) => {
    socket.write("HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nsorry", () => setImmediate(() => reset(socket)));
  });
  upstream.onUpgrade("/cut", (_request, socket) => socket.destroy());
  const ask = async (path: string) => {
    const client = await RawClient.connect(port);
    client.write(`GET ${path} HTTP/1.1\r\n${host}\r\n${upgrade}\r\n\r\n`);
    return client;
  };
  const refused = await (await ask("/refused")).response();
  t.match([refused.status, headerOf(refused, "x-why"), refused.body.toString()], [403, "1", "sorry"]);
  const torn = await ask("/torn");
  await torn.head();
  await torn.ended();
  for (const [path, code] of [
    ["/cut", "upstream-reset"],
    ["/nobody", "upstream-unreachable"],
  ] as const) {
    const failed = await (await ask(path)).response();
    t.equal(failed.status, 502, path);
    t.match(JSON.parse(failed.body.toString()), { status: 502, code });
    t.equal(headerOf(failed, "connection"), "close");
  }
});

t.test("an upgrade of something else, or to a protected route, is a plain request", async (t) => {
  const plain = await RawClient.exchange(port, `GET /plain HTTP/1.1\r\n${host}\r\nConnection: Upgrade\r\nUpgrade: foo`);
  t.equal(plain.status, 201);
  const socket = `POST /pay HTTP/1.1\r\n${host}\r\n${upgrade}\r\nContent-Length: 0`;
  const guardedOne = await RawClient.exchange(port, socket);
  t.match(JSON.parse(guardedOne.body.toString()), { code: "key-missing" });
  t.equal(upstream.count("/pay"), 0);
});

t.test("an HTTP/1.0 client is served, and its connection ended", async (t) => {
  upstream.on("/old", ({ response }) => {
    response.write("chunk");
    response.end("ed");
  });
  for (const path of ["/old", "/pay"]) {
    const client = await RawClient.connect(port);
    client.write(`POST ${path} HTTP/1.0\r\n${host}\r\nIdempotency-Key: old\r\nContent-Length: 0\r\n\r\n`);
    const response = await client.response();
    t.equal(response.status, path === "/old" ? 200 : 201);
    t.equal(headerOf(response, "transfer-encoding"), undefined);
    if (path === "/old") t.equal(response.body.toString(), "chunked");
    await client.ended();
  }
});

t.test("a reload changes the routes of what comes, and drops nothing that has begun", async (t) => {
  const former = await Upstream.start(t);
  const reloading = await SampleGateway.start(t, { routes: [guarded("/pay", former.url), open("/*", former.url)] });
  await post(`${reloading.url}/pay`, { key: "warm" });
  const clients = await Promise.all(["/pay", "/bare"].map(() => RawClient.connect(reloading.port)));
  for (const [at, path] of ["/pay", "/bare"].entries()) {
    clients[at]?.write(
      `POST ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: begun\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nx`,
    );
    t.equal((await clients[at]?.head())?.status, 100);
  }
  reloading.reload(t, { routes: [guarded("/pay", upstream.url), open("/*", upstream.url)] });
  for (const client of clients) client.write("y");
  for (const client of clients) t.equal((await client.response()).status, 201);
  t.same(former.journal.map((entry) => entry.path).sort(), ["/bare", "/pay", "/pay"], "where they were bound for");
  t.equal((await post(`${reloading.url}/bare`)).status, 201);
  t.equal(former.journal.length, 3);
});

t.test("the client's own agent keeps its connection through all of this", async (t) => {
  const { Agent } = await import("node:http");
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  upstream.on("/kept", ({ entry, response }) => response.end(entry.body));
  const ports = new Set<number | undefined>();
  for (let turn = 0; turn < 20; turn++) {
    const text = await new Promise<string>((resolve, reject) => {
      const sent = httpRequest(`${url}/kept`, { agent, method: "POST" }, (response) => {
        ports.add(sent.socket?.localPort);
        response.setEncoding("utf8");
        let all = "";
        response.on("data", (part) => {
          all += part;
        });
        response.on("end", () => resolve(all));
      });
      sent.on("error", reject);
      sent.end(`turn ${turn}`);
    });
    t.equal(text, `turn ${turn}`);
  }
  t.equal(ports.size, 1);
});

t.test("a client may take its time to send: only the API's own silence ends the call", async (t) => {
  upstream.on("/quick", ({ entry, response }) => response.writeHead(201).end(`${entry.body.length}`));
  const client = await RawClient.connect(port);
  client.write(`POST /quick HTTP/1.1\r\n${host}\r\nContent-Length: 4\r\n\r\n`);
  for (const part of ["a", "b", "c", "d"]) {
    await pause(part === "c" ? 1000 : 150);
    client.write(part);
  }
  t.match(await client.response(), { status: 201, body: Buffer.from("4") });
  client.write(`POST /quick HTTP/1.1\r\n${host}\r\nContent-Length: 4\r\n\r\nabcd`);
  upstream.on("/quick", () => {});
  t.equal((await client.response()).status, 504);
  client.hangUp();
});

t.test("an API that answers before it has read the request is heard, whole or as a stream", async (t) => {
  for (const isStreamed of [false, true]) {
    upstream.onStream("/early", async (_, response) => {
      response.writeHead(413, isStreamed ? {} : { "content-length": 5 });
      response.write("no, ");
      if (isStreamed) await pause(50);
      response.end("!");
    });
    const client = await RawClient.connect(port);
    client.write(`POST /early HTTP/1.1\r\n${host}\r\nContent-Length: 1000000\r\n\r\n${"x".repeat(100_000)}`);
    t.match(await client.response(), { status: 413, body: Buffer.from("no, !") });
    client.hangUp();
  }
});
