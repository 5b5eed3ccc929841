import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { keyHash } from "../../src/rules/key-hash.js";
import { post, send } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";
import { reset } from "../spec/octets.js";

// Answers that are passed on while they arrive: what becomes of the record, of the first client and of all others.

const upstream = await Upstream.start(t);
const timeoutMs = 400;
const quick = { timeout: `${timeoutMs}ms` };
const gateway = await SampleGateway.start(t, {
  server: { limits: { requestBody: "4MiB" } },
  routes: [
    guarded("/s", upstream.url, { response: { maxStored: "1KiB" } }),
    guarded("/reject", upstream.url, { concurrency: "reject" }),
    guarded("/quick", upstream.url, { response: { maxStored: "1KiB" } }, quick),
    guarded("/seen", upstream.url, { mode: "observe" }, quick),
    { ...guarded("/head", upstream.url, {}), match: { path: "/head", methods: ["HEAD", "GET", "POST"] } },
    open("/*", upstream.url, quick),
  ],
});
const { port, url } = gateway;
const host = `Host: 127.0.0.1:${port}`;

let keys = 0;
const newKey = () => `stream-${++keys}`;

/** How an upstream may say where its answer ends. */
const framings = {
  chunked: {
    field: "Transfer-Encoding: chunked",
    part: (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`,
    end: (socket: Socket) => void socket.write("0\r\n\r\n"),
  },
  length: { field: "Content-Length: 30", part: (text: string) => text, end: () => {} },
  close: { field: "X-A: b", part: (text: string) => text, end: (socket: Socket) => void socket.end() },
};
type Framing = keyof typeof framings;
const everyFraming = Object.keys(framings) as Framing[];

const parts = ["one.......", "two.......", "three....."] as const;

/** An upstream whose answer goes on when the test says so. */
class Script {
  #socket!: Socket;
  readonly #arrived: Promise<void>;

  constructor(
    path: string,
    readonly framing: Framing,
    fields = "Content-Type: text/event-stream",
    status = "200 OK",
  ) {
    const { field } = framings[framing];
    this.#arrived = new Promise((resolve) => {
      upstream.on(path, ({ socket }) => {
        this.#socket = socket;
        socket.write(`HTTP/1.1 ${status}\r\n${fields}\r\n${field}\r\n\r\n`);
        resolve();
      });
    });
  }

  async say(text: string): Promise<void> {
    await this.#arrived;
    this.#socket.write(framings[this.framing].part(text), "latin1");
  }

  async end(): Promise<void> {
    await this.#arrived;
    framings[this.framing].end(this.#socket);
  }

  /** The octets of half a part, and no more. */
  async break(how: "fin" | "rst"): Promise<void> {
    await this.#arrived;
    this.#socket.write(framings[this.framing].part(parts[1]).slice(0, 6), "latin1");
    // Apart from the octets, or libuv takes the reset for an end.
    await pause(30);
    if (how === "fin") this.#socket.end();
    else reset(this.#socket);
  }
}

async function ask(path: string, key: string, version = "1.1"): Promise<RawClient> {
  const client = await RawClient.connect(port);
  client.write(`POST ${path} HTTP/${version}\r\n${host}\r\nIdempotency-Key: ${key}\r\nContent-Length: 0\r\n\r\n`);
  return client;
}

const has = (client: RawClient, text: string) =>
  gateway.until(`${text} comes`, () => client.received.includes(text, 0, "latin1"));

/** Of the record with the newest key. */
async function state(): Promise<string> {
  const { records } = await gateway.store.list({ limit: 2, keyHash: keyHash([`stream-${keys}`]) });
  const [record] = records;
  return record === undefined ? "none" : record.cause === null ? record.state : `${record.state} ${record.cause}`;
}

const notStored = { status: 409, code: "response-not-stored" };
const unknown = { status: 409, code: "outcome-unknown" };
const inProgress = { status: 409, code: "in-progress" };

t.test("every usual kind of stream reaches the first client part by part, in every framing", async (t) => {
  for (const fields of [
    "Content-Type: text/event-stream",
    "Content-Type: application/x-ndjson; charset=utf-8",
    "Content-Type: application/jsonl",
    "Content-Type: application/grpc-web+proto",
    "Content-Type: Multipart/X-Mixed-Replace;boundary=x",
    "Content-Type: text/plain\r\nX-Accel-Buffering: no",
  ]) {
    for (const framing of everyFraming) {
      const what = `${fields} ${framing}`;
      const key = newKey();
      const script = new Script("/s", framing, fields);
      const client = await ask("/s", key);
      t.equal((await client.head()).status, 200, what);
      for (const part of parts) {
        t.equal(await state(), "in_flight", what);
        await script.say(part);
        await has(client, part);
      }
      await script.end();
      await gateway.engine.idle();
      t.equal(await state(), "not_replayable", what);
      t.match(await post(`${url}/s`, { key }), notStored);
      client.hangUp();
    }
  }
});

t.test("until the stream has ended, a duplicate waits or is in progress; it is never sent", async (t) => {
  const before = upstream.count("/s");
  const script = new Script("/s", "chunked");
  const key = newKey();
  const client = await ask("/s", key);
  await script.say(parts[0]);
  await has(client, parts[0]);
  const waits = [1, 2].map(() => send(`${url}/s`, { key }));
  await gateway.waiting(2);
  await script.end();
  for (const { reply } of waits) t.match(await reply, notStored);
  t.equal(upstream.count("/s"), before + 1);
  const other = new Script("/reject", "close");
  const rejected = await ask("/reject", key);
  await rejected.head();
  t.match(await post(`${url}/reject`, { key }), inProgress);
  await other.end();
  await gateway.engine.idle();
  t.match(await post(`${url}/reject`, { key }), notStored);
});

t.test("whenever the client leaves, the stream is read to its end, and only then the record says so", async (t) => {
  for (const framing of everyFraming) {
    for (const moment of ["before the head", "after the head", "after a part", "within a part"]) {
      const key = newKey();
      const script = new Script("/s", framing);
      const client = await ask("/s", key);
      if (moment === "before the head") client.hangUp();
      else await client.head();
      if (moment === "after the head") client.hangUp();
      await script.say(parts[0]);
      if (moment === "after a part") await has(client, parts[0]);
      if (moment === "within a part") await has(client, parts[0].slice(0, 3));
      client.hangUp();
      await pause(20);
      await script.say(parts[1]);
      t.equal(await state(), "in_flight", `${framing} ${moment}`);
      await script.say(parts[2]);
      await script.end();
      await gateway.engine.idle();
      t.equal(await state(), "not_replayable", `${framing} ${moment}`);
      t.match(await post(`${url}/s`, { key }), notStored);
    }
  }
});

t.test("a torn stream is in doubt, whoever listened, and torn for its client too", async (t) => {
  for (const framing of everyFraming) {
    for (const how of ["fin", "rst"] as const) {
      // What only the end of the connection ends is whole when the connection is closed (RFC 9112 §8).
      if (framing === "close" && how === "fin") continue;
      for (const isHere of [true, false]) {
        const what = `${framing} ${how} ${isHere ? "with" : "without"} its client`;
        const key = newKey();
        const doubts = gateway.seen("inDoubt").length;
        const script = new Script("/s", framing);
        const client = await ask("/s", key);
        await script.say(parts[0]);
        await has(client, parts[0]);
        if (!isHere) client.hangUp();
        const waits = send(`${url}/s`, { key });
        await gateway.waiting(1);
        await script.break(how);
        await client.ended();
        t.notOk(client.received.includes("\r\n0\r\n\r\n"), `${what}: no clean end`);
        t.match(await waits.reply, { status: 502, code: "upstream-reset" }, what);
        t.equal(await state(), "in_doubt reset", what);
        t.match(await post(`${url}/s`, { key }), unknown, what);
        t.same(gateway.seen("inDoubt").length, doubts + 1, `${what}: counted once`);
      }
    }
  }
});

t.test(
  "a client that can tell the end by the connection alone gets a reset instead of a torn stream's end",
  async (t) => {
    for (const path of ["/s", "/bare"]) {
      const script = new Script(path, "chunked");
      const client = await ask(path, newKey(), "1.0");
      let error: NodeJS.ErrnoException | undefined;
      client.socket.on("error", (seen) => {
        error = seen;
      });
      await script.say(parts[0]);
      await has(client, parts[0]);
      await script.break("rst");
      await client.ended();
      t.equal(error?.code, "ECONNRESET", path);
    }
  },
);

t.test(
  "the timeout is for the head, then between parts: a stream may last longer, and not be silent longer",
  async (t) => {
    for (const path of ["/quick", "/bare"]) {
      for (const framing of everyFraming) {
        const script = new Script(path, framing);
        const key = newKey();
        const client = await ask(path, key);
        await client.head();
        for (const part of parts) {
          await pause(timeoutMs / 2);
          await script.say(part);
        }
        await script.end();
        await has(client, parts[2]);
        await gateway.engine.idle();
        if (path === "/quick") t.equal(await state(), "not_replayable", framing);
        const silent = new Script(path, framing);
        const other = await ask(path, newKey());
        await silent.say(parts[0]);
        await has(other, parts[0]);
        await other.ended();
        t.notOk(other.received.includes("\r\n0\r\n\r\n"));
        await gateway.engine.idle();
        if (path === "/quick") t.equal(await state(), "in_doubt timeout", framing);
        client.hangUp();
      }
    }
  },
);

t.test("a head that does not come in time is no stream: in doubt, with a document", async (t) => {
  upstream.on("/quick", () => {});
  t.match(await post(`${url}/quick`, { key: newKey() }), { status: 504, code: "upstream-timeout" });
  t.equal(await state(), "in_doubt timeout");
});

t.test("a stream that never ends is read for a bounded time without its client, then in doubt", async (t) => {
  const before = performance.now();
  upstream.on("/quick", ({ response }) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const timer = setInterval(() => response.write("data: x\n\n"), 50);
    response.on("close", () => clearInterval(timer));
  });
  const key = newKey();
  const client = await ask("/quick", key);
  await client.head();
  client.hangUp();
  await gateway.engine.idle();
  t.ok(performance.now() - before >= 15 * timeoutMs);
  t.equal(await state(), "in_doubt timeout");
  t.match(await post(`${url}/quick`, { key }), unknown);
});

t.test("what is too large to keep is passed on as it arrives, and ends like a stream", async (t) => {
  const large = "x".repeat(2000);
  for (const how of ["whole", "fin", "rst"] as const) {
    for (const isDeclared of [true, false]) {
      const key = newKey();
      let go!: (socket: Socket) => void;
      const passed = new Promise<Socket>((resolve) => {
        go = resolve;
      });
      upstream.on("/s", ({ socket }) => {
        const field = isDeclared ? "Content-Length: 4000" : "Transfer-Encoding: chunked";
        socket.write(`HTTP/1.1 200 OK\r\n${field}\r\n\r\n${isDeclared ? large : `7d0\r\n${large}\r\n`}`);
        go(socket);
      });
      const client = await ask("/s", key);
      await client.head();
      const socket = await passed;
      await has(client, large);
      t.equal(await state(), "in_flight");
      if (how === "whole") socket.write(isDeclared ? large : "0\r\n\r\n");
      else if (how === "fin") socket.end();
      else reset(socket);
      await gateway.engine.idle();
      t.equal(await state(), how === "whole" ? "not_replayable" : "in_doubt reset", `${how} ${isDeclared}`);
      t.match(await post(`${url}/s`, { key }), how === "whole" ? notStored : unknown);
      client.hangUp();
    }
  }
});

t.test("a client that reads slowly holds the upstream back, and cannot lose the execution", async (t) => {
  const part = Buffer.alloc(256 * 1024, "x");
  const count = 64;
  for (const ending of ["reads", "leaves", "upstream resets"] as const) {
    for (const isDelimited of [true, false]) {
      const what = `${ending} ${isDelimited ? "chunked" : "to the end of the connection"}`;
      let written = 0;
      let socket!: Socket;
      upstream.on("/s", async ({ response, ...call }) => {
        socket = call.socket;
        if (!isDelimited) response.useChunkedEncodingByDefault = false;
        response.on("error", () => {});
        response.writeHead(200, {
          "content-type": "application/x-ndjson",
          ...(isDelimited ? {} : { connection: "close" }),
        });
        while (written < count && !response.destroyed) {
          written++;
          if (response.write(part)) continue;
          await new Promise<void>((resolve) => {
            response.once("drain", resolve).once("close", resolve);
          });
        }
        response.end();
      });
      const key = newKey();
      const client = await ask("/s", key);
      await client.head();
      client.socket.pause();
      await pause(3 * timeoutMs);
      t.ok(written < count, `${what}: held back`);
      t.equal(await state(), "in_flight", what);
      if (ending === "reads") client.socket.resume();
      else if (ending === "leaves") client.hangUp();
      else reset(socket);
      if (ending === "upstream resets") client.socket.resume();
      await gateway.engine.idle();
      t.equal(await state(), ending === "upstream resets" ? "in_doubt reset" : "not_replayable", what);
      client.hangUp();
    }
  }
});

t.test("the status of a stream counts when it has ended: released, unknown; torn it is in doubt", async (t) => {
  for (const [status, whole] of [
    ["429 Too Many", "none"],
    ["504 Gone", "in_doubt status"],
    ["500 Oh", "not_replayable"],
  ] as const) {
    for (const isTorn of [false, true]) {
      const script = new Script("/s", "chunked", "Content-Type: text/event-stream", status);
      const client = await ask("/s", newKey());
      await script.say(parts[0]);
      await has(client, parts[0]);
      t.equal(await state(), "in_flight");
      await (isTorn ? script.break("fin") : script.end());
      await gateway.engine.idle();
      t.equal(await state(), isTorn ? "in_doubt reset" : whole, status);
      client.hangUp();
    }
  }
});

t.test("what has no body is no stream, whatever its fields say: it is stored", async (t) => {
  const fields = { "content-type": "text/event-stream", "x-accel-buffering": "no" };
  for (const [method, status, more] of [
    ["HEAD", 200, { "content-length": "5000000" }],
    ["POST", 204, {}],
    ["POST", 200, { "content-length": "0" }],
  ] as const) {
    upstream.on("/head", ({ response }) => response.writeHead(status, { ...fields, ...more }).end());
    const key = newKey();
    t.match(await post(`${url}/head`, { method, key, body: "" }), { status, isReplayed: false }, method);
    t.match(await post(`${url}/head`, { method, key, body: "" }), { status, isReplayed: true }, method);
  }
});

t.test("interim answers before a stream, and trailers behind it, do no harm", async (t) => {
  upstream.on("/s", ({ socket }) => {
    socket.write(
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n",
    );
    socket.write("Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nX-Sum: 1\r\n\r\n");
  });
  const client = await ask("/s", newKey());
  const { status, body, trailers } = await client.response();
  t.match([status, body.toString()], [200, "one"]);
  t.same(trailers, [["X-Sum", "1"]]);
  await gateway.engine.idle();
  t.equal(await state(), "not_replayable");
});

t.test("observe: streams pass through, duplicates too, and the record follows the first to its end", async (t) => {
  const key = newKey();
  const script = new Script("/seen", "chunked");
  const client = await ask("/seen", key);
  await script.say(parts[0]);
  await has(client, parts[0]);
  t.equal(await state(), "in_flight");
  const second = new Script("/seen", "chunked");
  const other = await ask("/seen", key);
  await second.say(parts[1]);
  await has(other, parts[1]);
  client.hangUp();
  await pause(20);
  await script.end();
  await gateway.engine.idle();
  t.equal(await state(), "not_replayable");
  await second.end();
  await has(other, "\r\n0\r\n\r\n");
});
