import { once } from "node:events";
import { connect } from "node:net";
import t from "tap";
import { post, send } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";
import { octets } from "../spec/octets.js";

// Clients that leave, at every moment a request has.

const upstream = await Upstream.start(t);
const gateway = await SampleGateway.start(t, {
  server: { limits: { requestBody: "4MiB" } },
  routes: [
    guarded("/pay", upstream.url),
    guarded("/small", upstream.url, { response: { maxStored: "1KiB" } }),
    guarded("/large", upstream.url, { response: { maxStored: "16MiB" } }),
    open("/*", upstream.url),
  ],
});
const { port, url } = gateway;
const host = `Host: 127.0.0.1:${port}`;

let lasts = 0;

/** Until everything that was answered so far has been told of: what comes last is told last. */
async function caughtUp(): Promise<void> {
  lasts++;
  await post(`${url}/last`);
  await gateway.until("the last one is told of", () => count("/last") === lasts);
}

const count = (path: string) => gateway.seen("request").filter((event) => event.path === path).length;

/** What was told of the requests that came while `during` ran. */
async function toldOf(count: number, during: () => Promise<unknown>) {
  await caughtUp();
  const before = gateway.seen("request").length;
  await during();
  await gateway.until(`${count} requests told of`, () => gateway.seen("request").length >= before + count);
  await gateway.quiet();
  return gateway
    .seen("request")
    .slice(before)
    .map(({ result, status, hungUp }) => `${status} ${result}${hungUp ? " hung up" : ""}`);
}

t.test("during the upload: nothing is claimed, sent or held", async (t) => {
  const claims: string[] = [];
  gateway.trouble.asked = (verb) => claims.push(verb);
  const told = await toldOf(1, async () => {
    const client = await RawClient.connect(port);
    client.write(`POST /pay HTTP/1.1\r\n${host}\r\nIdempotency-Key: up\r\nContent-Length: 1000000\r\n\r\n`);
    client.write(Buffer.alloc(500_000));
    await gateway.until("half of it is held", () => gateway.budget.usedBytes === 500_000);
    client.hangUp();
  });
  t.same(told, ["499 rejected hung up"]);
  t.same(claims, []);
  t.equal(upstream.count("/pay"), 0);
});

t.test("after the head, before a byte of the body", async (t) => {
  const told = await toldOf(1, async () => {
    const client = await RawClient.connect(port);
    client.write(
      `POST /pay HTTP/1.1\r\n${host}\r\nIdempotency-Key: head\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`,
    );
    t.equal((await client.head()).status, 100);
    client.hangUp();
  });
  t.same(told, ["499 rejected hung up"]);
});

t.test("while it is claimed: it runs all the same, once, and a retry gets its answer", async (t) => {
  upstream.on("/pay", answer(201, "claimed"));
  const gate = new Gate();
  const asked = new Promise<void>((resolve) => {
    gateway.trouble.before = (verb) => {
      if (verb !== "claim") return undefined;
      resolve();
      return gate.opened;
    };
  });
  const before = upstream.count("/pay");
  const told = await toldOf(1, async () => {
    const first = send(`${url}/pay`, { key: "claiming" });
    await asked;
    first.hangUp();
    await t.rejects(first.reply);
    gateway.trouble.before = undefined;
    gate.open();
  });
  t.same(told, ["201 executed hung up"]);
  t.match(await post(`${url}/pay`, { key: "claiming" }), { status: 201, text: "claimed", isReplayed: true });
  t.equal(upstream.count("/pay"), before + 1);
});

t.test("while it runs, and everybody else who waited for it: it is stored", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "for nobody")));
  const before = upstream.count("/pay");
  const told = await toldOf(4, async () => {
    const all = Array.from({ length: 4 }, () => send(`${url}/pay`, { key: "all-gone", body: "x" }));
    await upstream.arrived("/pay", before + 1);
    await gateway.waiting(3);
    for (const one of all) one.hangUp();
    await gateway.waiting(0);
    await gateway.until("only the running request is held", () => gateway.budget.usedBytes === 1);
    gate.open();
  });
  t.same(told.sort(), ["201 executed hung up", ...Array(3).fill("499 in_progress hung up")]);
  t.match(await post(`${url}/pay`, { key: "all-gone", body: "x" }), { text: "for nobody", isReplayed: true });
  t.equal(upstream.count("/pay"), before + 1);
});

t.test("one who waits leaves: the others still get the answer", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "shared")));
  const before = upstream.count("/pay");
  const first = post(`${url}/pay`, { key: "one-left" });
  await upstream.arrived("/pay", before + 1);
  const [leaves, stays] = [1, 2].map(() => send(`${url}/pay`, { key: "one-left" }));
  await gateway.waiting(2);
  leaves?.hangUp();
  await gateway.waiting(1);
  gate.open();
  t.match(await first, { text: "shared" });
  t.match(await stays?.reply, { text: "shared", isReplayed: true });
  await gateway.quiet();
});

t.test("who waits for another process leaves: it stops asking, and nothing runs twice", async (t) => {
  const other = await SampleGateway.start(t, { routes: [guarded("/pay", upstream.url)] }, gateway);
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(429, "not now")));
  const before = upstream.count("/pay");
  const first = post(`${url}/pay`, { key: "elsewhere" });
  await upstream.arrived("/pay", before + 1);
  const waits = [1, 2].map(() => send(`${other.url}/pay`, { key: "elsewhere" }));
  await other.waiting(2);
  for (const one of waits) one.hangUp();
  await other.waiting(0);
  gate.open();
  t.match(await first, { status: 429 });
  await other.quiet();
  t.equal(upstream.count("/pay"), before + 1, "the key is free, and nobody who has left takes it");
  t.same(other.seen("flightBegun"), []);
});

t.test("while an answer too large to keep is streamed: it is read to its end, and never asked for again", async (t) => {
  let isWhole = false;
  const gate = new Gate();
  upstream.on("/small", async ({ response }) => {
    response.writeHead(200, { "content-length": String(2_000_000) });
    response.write(Buffer.alloc(100_000));
    await gate.opened;
    response.end(Buffer.alloc(1_900_000), () => {
      isWhole = true;
    });
  });
  const before = upstream.count("/small");
  const told = await toldOf(1, async () => {
    const client = await RawClient.connect(port);
    client.write(`POST /small HTTP/1.1\r\n${host}\r\nIdempotency-Key: large\r\nContent-Length: 0\r\n\r\n`);
    await client.head();
    client.hangUp();
    gate.open();
  });
  t.same(told, ["200 executed hung up"]);
  await gateway.until("the upstream has sent all of it", () => isWhole);
  t.match(await post(`${url}/small`, { key: "large" }), { status: 409, code: "response-not-stored" });
  t.equal(upstream.count("/small"), before + 1);
});

t.test("while an event stream runs: it is read to its end as well", async (t) => {
  const gate = new Gate();
  let isWhole = false;
  upstream.on("/small", async ({ response }) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
    await gate.opened;
    response.end("data: 2\n\n", () => {
      isWhole = true;
    });
  });
  const told = await toldOf(1, async () => {
    const client = await RawClient.connect(port);
    client.write(`POST /small HTTP/1.1\r\n${host}\r\nIdempotency-Key: events\r\nContent-Length: 0\r\n\r\n`);
    await client.head();
    client.hangUp();
    // The flight goes on: `toldOf` waits for its end.
    gate.open();
  });
  t.ok(isWhole);
  t.same(told, ["200 executed hung up"]);
  t.match(await post(`${url}/small`, { key: "events" }), { status: 409, code: "response-not-stored" });
});

t.test("during a large replay: nothing stays behind, and the next one gets all of it", async (t) => {
  const body = Buffer.alloc(12_000_000, "large");
  upstream.on("/large", answer(200, body));
  t.same(await toldOf(1, () => post(`${url}/large`, { key: "replay" })), ["200 executed"]);
  const told = await toldOf(1, async () => {
    const socket = connect(port, "127.0.0.1");
    socket.write(`POST /large HTTP/1.1\r\n${host}\r\nIdempotency-Key: replay\r\nContent-Length: 0\r\n\r\n`);
    await once(socket, "readable");
    socket.destroy();
  });
  t.same(told, ["200 replayed hung up"]);
  await toldOf(1, async () => t.ok((await post(`${url}/large`, { key: "replay" })).body.equals(body)));
});

t.test("a client that shuts its sending side too early is gone; its request is not", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "half closed")));
  const before = upstream.count("/pay");
  const told = await toldOf(1, async () => {
    const client = await RawClient.connect(port);
    client.write(`POST /pay HTTP/1.1\r\n${host}\r\nIdempotency-Key: half-closed\r\nContent-Length: 0\r\n\r\n`);
    await upstream.arrived("/pay", before + 1);
    client.socket.end();
    await client.ended();
    gate.open();
  });
  t.same(told, ["201 executed hung up"]);
  t.match(await post(`${url}/pay`, { key: "half-closed" }), { text: "half closed", isReplayed: true });
});

t.test("unprotected: a client that leaves takes its call along, at every moment", async (t) => {
  /** Resolves when the upstream's side of the call is broken off. */
  const cut = (path: string, write: (response: import("node:http").ServerResponse) => void) =>
    new Promise<void>((resolve) => {
      upstream.onStream(path, (request, response) => {
        request.on("error", () => {});
        request.resume();
        response.on("close", () => {
          if (!response.writableFinished) resolve();
        });
        write(response);
      });
    });
  const moments = {
    "/uploading": { write: () => {}, request: "Content-Length: 1000\r\n\r\n12345", waits: false },
    "/thinking": { write: () => {}, request: "Content-Length: 5\r\n\r\n12345", waits: false },
    "/answering": {
      write: (response: import("node:http").ServerResponse) => void response.writeHead(200).write("12345"),
      request: "Content-Length: 5\r\n\r\n12345",
      waits: true,
    },
  };
  for (const [path, { write, request, waits }] of Object.entries(moments)) {
    const isCut = cut(path, write);
    const arrived = once(upstream.server, "request");
    const told = await toldOf(1, async () => {
      const client = await RawClient.connect(port);
      client.write(`POST ${path} HTTP/1.1\r\n${host}\r\n${request}`);
      await arrived;
      if (waits) await client.head();
      client.hangUp();
      await isCut;
    });
    t.same(told, [waits ? "200 unprotected hung up" : "499 unprotected hung up"], path);
  }
});

t.test("hundreds of requests of every kind leave nothing behind", async (t) => {
  upstream.on("/pay", answer(201, "ok"));
  upstream.on("/gone", octets("", "fin"));
  upstream.on("/bare", answer(200, "ok"));
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const round = async (at: number) => {
    const client = await RawClient.connect(port);
    const head = (path: string, more: string) => client.write(`POST ${path} HTTP/1.1\r\n${host}\r\n${more}\r\n\r\n`);
    const sent = [
      () => head("/pay", `Idempotency-Key: leak-${at}\r\nContent-Length: 0`),
      () => head("/pay", `Idempotency-Key: leak-${at}\r\nContent-Length: 0`),
      () => head("/pay", "Content-Length: 0"),
      () => head("/bare", "Content-Length: 0"),
      () => head("/gone", "Content-Length: 0"),
      () => head("/small", `Idempotency-Key: leak-${at}\r\nContent-Length: 0`),
    ];
    for (const send of sent) {
      send();
      await client.response();
    }
    head("/pay", `Idempotency-Key: cut-${at}\r\nContent-Length: 5`);
    client.hangUp();
  };
  upstream.on("/small", answer(200, Buffer.alloc(5000)));
  for (let at = 0; at < 20; at++) await round(at);
  await gateway.quiet();
  const before = { timers: timers(), sockets: upstream.sockets.size };
  for (let at = 20; at < 100; at++) await round(at);
  await gateway.quiet();
  await gateway.until("no request is open", () => gateway.inFlight === 0 && gateway.waiters === 0);
  t.ok(timers() <= before.timers + 3, `${timers()} timers, ${before.timers} before`);
  t.ok(upstream.sockets.size <= before.sockets + 2);
  t.equal(gateway.budget.usedBytes, 0);
});
