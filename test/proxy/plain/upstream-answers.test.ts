import { once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import type { Outcome } from "../../../src/model.js";
import { reset } from "../../spec/octets.js";
import { call, ok, openPool, RawUpstream, say, told, until } from "./raw-upstream.js";

// Answers on connections of our own: in how many pieces they come, how they end, and who reads them to their end.

const upstream = await RawUpstream.start(t);
const pool = openPool(t, upstream.port, { connections: 64 });

const head = (...lines: string[]) => ["HTTP/1.1 200 OK", ...lines, "", ""].join("\r\n");
const later = (step: () => void) => setImmediate(() => setImmediate(step));

/** Each piece is read before the next one is sent. */
function sayInPieces(socket: Socket, pieces: readonly string[], end: (socket: Socket) => void): void {
  const [piece, ...rest] = pieces;
  if (piece === undefined) return end(socket);
  say(socket, piece);
  later(() => sayInPieces(socket, rest, end));
}

const keep = () => {};
const fin = (socket: Socket) => void socket.end();

/** One call whose answer comes in these pieces. */
function piecewise(pieces: readonly string[], end: (socket: Socket) => void = keep, over = pool): Promise<Outcome> {
  const key = `${++calls}`;
  scripts.set(key, ({ socket }) => sayInPieces(socket, pieces, end));
  return call(over, { body: Buffer.from(key) });
}

let calls = 0;
const scripts = new Map<string, (asked: { socket: Socket }) => void>();
upstream.answer = (asked) => scripts.get(asked.body)?.(asked);

interface Whole {
  readonly text: string;
  readonly body: string;
  readonly trailers?: string[];
  readonly end?: typeof fin;
  /** Undici reads it from its first octet on, and keeps of a reason in pieces the last one only. */
  readonly isOdd?: true;
}

const answers: Record<string, Whole> = {
  "with a length": { text: `${head("Content-Length: 3", "x-B: 1")}a\r\n`, body: "a\r\n" },
  "with nothing in it": { text: head("Content-Length: 0"), body: "" },
  "in chunks": {
    text: `${head("Transfer-Encoding: chunked")}3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n`,
    body: "abc0123456789",
  },
  "in chunks with extensions": { text: `${head("Transfer-Encoding: chunked")}3;a=b\r\nabc\r\n0\r\n\r\n`, body: "abc" },
  "with trailers": {
    text: `${head("Transfer-Encoding: chunked")}3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n`,
    body: "abc",
    trailers: ["X-Sum", "1"],
  },
  "after an early hint": {
    text: `HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n${head("Content-Length: 3")}abc`,
    body: "abc",
  },
  "with its length given twice": { text: `${head("Content-Length: 3", "Content-Length: 3, 3")}abc`, body: "abc" },
  "with its length given twice, and odd besides": {
    text: `${head("Content-Length: 3", "X: \xe9", "content-length: 3")}abc`,
    body: "abc",
    isOdd: true,
  },
  "with a high octet": { text: `${head("X: \xe9", "Content-Length: 1")}\xff`, body: "\xff" },
  "up to the connection's end": { text: `${head()}abc`, body: "abc", end: fin },
  "of HTTP/1.0": { text: "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", body: "abc", isOdd: true },
};

for (const [name, { text, body, trailers = [], end = keep, isOdd = false }] of Object.entries(answers)) {
  t.test(`an answer ${name} is the same however it is cut into pieces`, async (t) => {
    const cuts = Array.from({ length: text.length - 1 }, (_, at) => [text.slice(0, at + 1), text.slice(at + 1)]);
    const all = await Promise.all([[text], [...text], ...cuts].map((pieces) => piecewise(pieces, end)));
    const [first] = all;
    t.match(first, { kind: "answered", response: { status: 200, reason: "OK", trailers } });
    t.equal(await told(first as Outcome), `200 ${body}`);
    const { response } = first as Extract<Outcome, { kind: "answered" }>;
    const expected = isOdd ? { ...response, reason: String } : response;
    for (const [at, other] of all.entries()) {
      if (isOdd) t.match(other, { kind: "answered", response: expected }, `cut ${at}`);
      else t.strictSame(other, { kind: "answered", response: expected }, `cut ${at}`);
    }
  });

  t.test(`an answer ${name} that breaks off is no answer, wherever it does`, async (t) => {
    const ends = end === fin ? [reset] : [fin, reset];
    for (const broken of ends) {
      const all = Array.from(text, (_, at) => told(piecewise([text.slice(0, at)].filter(Boolean), broken)));
      t.same(new Set(await Promise.all(all)), new Set(["unanswered reset"]), broken.name);
    }
  });
}

t.test("204 and 304 have no body, and the connection ends with those that announce one", async (t) => {
  for (const status of ["204 No Content", "304 Not Modified"]) {
    for (const [line, connections] of [
      ["", 1],
      ["Content-Length: 0\r\n", 1],
      ["Content-Length: 5\r\n", 2],
      ["Transfer-Encoding: chunked\r\n", 2],
    ] as const) {
      const before = upstream.sockets.length;
      const own = openPool(t, upstream.port);
      for (let turn = 0; turn < 2; turn++) {
        const outcome = await piecewise([`HTTP/1.1 ${status}\r\n${line}\r\n`], keep, own);
        t.match(outcome, {
          kind: "answered",
          response: { status: Number.parseInt(status, 10), body: Buffer.alloc(0) },
        });
      }
      t.equal(upstream.sockets.length, before + connections, `${status} ${line}`);
    }
  }
});

t.test("a body on a method that has none by custom ends its connection, and the upstream is told so", async (t) => {
  upstream.answer = ({ socket, body }) => say(socket, ok(body));
  for (const [method, body, connections] of [
    ["POST", "x", 1],
    ["PUT", "x", 1],
    ["PATCH", "x", 1],
    ["DELETE", "", 1],
    ["DELETE", "x", 2],
    ["GET", "x", 2],
    ["OPTIONS", "x", 2],
    ["SEARCH", "x", 2],
  ] as const) {
    const before = upstream.sockets.length;
    const own = openPool(t, upstream.port);
    for (let turn = 0; turn < 2; turn++) {
      t.equal(await told(call(own, { method, body: Buffer.from(body) })), `200 ${body}`);
    }
    t.equal(upstream.sockets.length, before + connections, `${method} ${body}`);
    const connection = connections === 2 ? "close" : "keep-alive";
    t.match(upstream.asked.at(-1)?.head, `Connection: ${connection}\r\n`, method);
  }
  upstream.answer = (asked) => scripts.get(asked.body)?.(asked);
});

t.test("a 100 nobody waits for is skipped, whoever reads the answer; a switch of protocols is no answer", async (t) => {
  for (const end of [ok("abc"), `${head("Transfer-Encoding: chunked")}3;odd\r\nabc\r\n0\r\n\r\n`]) {
    for (const pieces of [[`HTTP/1.1 100 Continue\r\n\r\n${end}`], ["HTTP/1.1 100 Cont", "inue\r\n\r\n", end]]) {
      t.equal(await told(piecewise(pieces)), "200 abc");
    }
  }
  t.equal(await told(piecewise(["HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"])), "unanswered reset");
  for (const nonsense of ["\0", "SSH-2.0\r\n", "HTTP/1.1 3200 OK\r\nContent-Length: 0\r\n\r\n"]) {
    t.equal(await told(piecewise([nonsense])), "unanswered reset", JSON.stringify(nonsense));
  }
});

t.test("what follows an answer spoils the connection, not the answer", async (t) => {
  for (const text of [answers["with a length"]?.text, answers["in chunks"]?.text, answers["with trailers"]?.text]) {
    const before = upstream.sockets.length;
    const own = openPool(t, upstream.port, { connections: 1 });
    for (const key of ["surplus", "after"]) {
      scripts.set(key, ({ socket }) => say(socket, `${text}${key === "surplus" ? ok("not yours") : ""}`));
      t.match(await call(own, { body: Buffer.from(key) }), { kind: "answered", response: { status: 200 } });
    }
    t.equal(upstream.sockets.length, before + 2);
  }
});

t.test("large bodies, both ways", async (t) => {
  const body = Buffer.alloc(1024 * 1024, "0123456789abcde");
  const text = body.toString("latin1");
  upstream.answer = ({ socket, body }) => say(socket, ok(body));
  const both = await call(pool, { body, maxStoredBytes: body.length });
  t.equal(await told(both), `200 ${text}`);
  upstream.answer = ({ socket, body }) =>
    say(socket, `${head("Transfer-Encoding: chunked")}100000\r\n${body}\r\n0\r\n\r\n`);
  t.equal(await told(call(pool, { body, maxStoredBytes: body.length })), `200 ${text}`, "in one chunk");
  for (const [name, answer] of Object.entries({
    "with a length": (text: string) => ok(text),
    "of unknown length": (text: string) => head() + text,
    "in chunks": (text: string) => `${head("Transfer-Encoding: chunked")}100000\r\n${text}\r\n0\r\n\r\n`,
    "in small chunks": (text: string) =>
      `${head("Transfer-Encoding: chunked")}${text.replaceAll(/.{1024}/g, "400\r\n$&\r\n")}0\r\n\r\n`,
  })) {
    upstream.answer = ({ socket, body }) => {
      say(socket, answer(body));
      if (name === "of unknown length") socket.end();
    };
    const outcome = await call(pool, { body, maxStoredBytes: 1000 });
    if (outcome.kind !== "streamed") return t.fail(`${outcome.kind} ${name}`);
    await pause(10);
    const parts: Buffer[] = [];
    for await (const part of outcome.response.body) parts.push(part as Buffer);
    t.ok(Buffer.concat(parts).equals(body), `too large to keep, ${name}: streamed, all of it`);
  }
});

t.test("an answer that is streamed and breaks off is known to be broken", async (t) => {
  for (const [broken, lines] of [
    [fin, ["Content-Length: 100000"]],
    [reset, ["Content-Length: 100000"]],
    [fin, ["Transfer-Encoding: chunked"]],
    [reset, []],
  ] as const) {
    upstream.answer = ({ socket }) => {
      say(socket, head(...lines) + (lines[0]?.startsWith("T") ? "fffff\r\n" : "") + "x".repeat(70_000));
      later(() => broken(socket));
    };
    const outcome = await call(pool, { maxStoredBytes: 1000 });
    if (outcome.kind !== "streamed") return t.fail(outcome.kind);
    outcome.response.body.resume();
    const [error] = await once(outcome.response.body, "error");
    t.ok(error instanceof Error, `${broken.name} ${lines}`);
  }
});

t.test("a streamed answer that began late has all of its time between two of its parts", async (t) => {
  upstream.answer = async ({ socket }) => {
    for (const part of [`${head("Content-Length: 6000")}${"x".repeat(2000)}`, "x".repeat(2000), "x".repeat(2000)]) {
      await pause(200);
      say(socket, part);
    }
  };
  const outcome = await call(pool, { timeoutMs: 300, maxStoredBytes: 1000 });
  if (outcome.kind !== "streamed") return t.fail(outcome.kind);
  let bytes = 0;
  for await (const part of outcome.response.body) bytes += (part as Buffer).length;
  t.equal(bytes, 6000);
});

t.test("an event stream is passed on part by part, and ends with its reader, or when it is silent", async (t) => {
  const type = "Content-Type: text/event-stream";
  for (const [lines, event] of [
    [[type], "data: 1\n\n"],
    [[type, "Transfer-Encoding: chunked"], "9\r\ndata: 1\n\n\r\n"],
  ] as const) {
    let socket: Socket | undefined;
    upstream.answer = (asked) => {
      socket = asked.socket;
      say(socket, head(...lines) + event);
    };
    for (const isSilent of [false, true]) {
      const outcome = await call(pool, { timeoutMs: isSilent ? 100 : 10_000, streamPattern: /event-stream/ });
      if (outcome.kind !== "streamed") return t.fail(outcome.kind);
      const { body } = outcome.response;
      const [part] = await once(body, "data");
      t.equal(String(part), "data: 1\n\n");
      if (!isSilent) body.destroy();
      t.match(await body.ended, { kind: "torn", cause: isSilent ? "timeout" : "reset" });
      await until(() => socket?.readableEnded === true);
    }
  }
});

t.test("the deadline holds for an odd answer, too", async (t) => {
  upstream.answer = ({ socket }) => say(socket, `${head("Transfer-Encoding: chunked")}3;odd\r\nabc\r\n`);
  const began = performance.now();
  t.equal(await told(call(pool, { timeoutMs: 60 })), "unanswered timeout");
  t.ok(performance.now() - began < 1_000);
  await until(() => upstream.sockets.at(-1)?.readableEnded === true || upstream.sockets.at(-1)?.destroyed === true);
});

t.test("an answer of unknown length that we cut off ourselves is not whole", async (t) => {
  const own = openPool(t, upstream.port);
  upstream.answer = ({ socket }) => say(socket, `${head()}abc`);
  const outcome = told(call(own));
  await upstream.arrived(upstream.asked.length + 1);
  await pause(20);
  own.destroy();
  t.equal(await outcome, "unanswered reset");
});

t.test("an answer that comes before all of the request was sent ends the connection", async (t) => {
  const own = openPool(t, upstream.port, { connections: 1 });
  upstream.met = (socket) => void setImmediate(() => socket.once("data", () => say(socket.pause(), ok("refused"))));
  const before = upstream.sockets.length;
  t.equal(await told(call(own, { body: Buffer.alloc(8 * 1024 * 1024) })), "200 refused");
  upstream.met = () => {};
  upstream.answer = ({ socket, body }) => say(socket, ok(body));
  t.equal(await told(call(own, { timeoutMs: 1_000 })), "200 body");
  t.equal(upstream.sockets.length, before + 2);
});
