import { type AddressInfo, createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { reset } from "../../spec/octets.js";
import { call, ok, openPool, RawUpstream, say, told, until } from "./raw-upstream.js";

// The connections to an upstream: how many, for how long, and that none of them costs a request its certainty.

/** Nothing is heard of in the meantime. */
function busy(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

t.test("a request goes out as it was given, with its length", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port);
  await call(pool, { headers: ["Host", "a", "x-B", "\xe9"], target: "/a?b", body: Buffer.from("\xff\n", "latin1") });
  await call(pool, { method: "DELETE", body: Buffer.alloc(0) });
  await call(pool, { method: "PUT", body: Buffer.alloc(0) });
  const rest = "Connection: keep-alive\r\n\r\n";
  t.same(
    upstream.asked.map(({ head, body }) => head + body),
    [
      `POST /a?b HTTP/1.1\r\nHost: a\r\nx-B: \xe9\r\nContent-Length: 2\r\n${rest}\xff\n`,
      `DELETE /pay HTTP/1.1\r\nHost: a\r\n${rest}`,
      `PUT /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n${rest}`,
    ],
  );
  t.equal(upstream.sockets.length, 1);
});

t.test("no more connections than allowed; what is more waits its turn, in order", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port, { connections: 2 });
  const held: (() => void)[] = [];
  upstream.answer = ({ socket, body }) => void held.push(() => say(socket, ok(body)));
  const calls = ["1", "2", "3", "4", "5"].map((body) => call(pool, { body: Buffer.from(body) }));
  await upstream.arrived(2);
  await pause(20);
  t.equal(upstream.asked.length, 2);
  for (let count = 3; count <= 5; count++) {
    held.shift()?.();
    await upstream.arrived(count);
  }
  for (const answer of held) answer();
  t.same(await Promise.all(calls.map(told)), ["200 1", "200 2", "200 3", "200 4", "200 5"]);
  t.same(
    upstream.asked.map(({ body }) => body),
    ["1", "2", "3", "4", "5"],
  );
  t.equal(upstream.sockets.length, 2);
});

t.test("a connection that ends gives its place to the next request", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port, { connections: 1 });
  const ends: Record<string, (asked: { socket: import("node:net").Socket }) => void> = {
    "Connection: close": ({ socket }) => say(socket, ok("a", "Connection: close")),
    "a surplus": ({ socket }) => say(socket, `${ok("a")}HTTP`),
    "a short Keep-Alive": ({ socket }) => say(socket, ok("a", "Keep-Alive: timeout=2")),
  };
  for (const [name, end] of Object.entries(ends)) {
    const before = upstream.sockets.length;
    upstream.answer = end;
    t.same(await Promise.all([told(call(pool)), told(call(pool))]), ["200 a", "200 a"], name);
    t.equal(upstream.sockets.length, before + 2, name);
  }
  upstream.answer = ({ socket, nth }) => (nth % 2 === 1 ? void socket.end() : say(socket, ok("a")));
  t.same(await Promise.all([told(call(pool)), told(call(pool))]), ["unanswered reset", "200 a"]);
});

t.test("a connection is kept as long as the upstream says, or as we do", async (t) => {
  const upstream = await RawUpstream.start(t);
  const after = async (line: string, options: object, ms: number) => {
    const pool = openPool(t, upstream.port, options);
    const before = upstream.sockets.length;
    upstream.answer = ({ socket, body }) => say(socket, ok(body, line));
    await call(pool);
    await pause(ms);
    t.equal(await told(call(pool)), "200 body");
    return upstream.sockets.length - before;
  };
  t.equal(await after("X: 1", {}, 60), 1, "as long as ours");
  t.equal(await after("X: 1", { keepAliveMs: 30 }, 60), 2, "longer than ours");
  t.equal(await after("Keep-Alive: timeout=9", {}, 60), 1, "as long as it says");
  t.equal(await after("Keep-Alive: timeout=9", { keepAliveMs: 30 }, 60), 2, "as long as it says, too long for us");
  t.equal(await after("X: 1", { keepAliveMs: 0 }, 5), 2, "0: a connection for each request");
  t.match(upstream.asked.at(-1)?.head, "Connection: close\r\n", "and the upstream is told so");
});

t.test("idle connections are closed in the end", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port, { keepAliveMs: 50 });
  await Promise.all([call(pool), call(pool), call(pool)]);
  await until(() => upstream.sockets.every((socket) => socket.readableEnded));
  t.equal(upstream.sockets.length, 3);
});

t.test("what an upstream does to an idle connection leaves nothing in doubt", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port);
  const rude = ["HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "x"];
  for (const end of ["fin", "rst", ...rude]) {
    t.equal(await told(call(pool)), "200 body");
    const before = upstream.sockets.length;
    const socket = upstream.sockets.at(-1);
    if (socket === undefined) throw new Error("no connection");
    if (end === "fin") socket.end();
    else if (end === "rst") reset(socket);
    else say(socket, end);
    await pause(20);
    t.equal(await told(call(pool)), "200 body", JSON.stringify(end));
    t.equal(upstream.sockets.length, before + 1, "over a new connection");
  }
});

t.test("nor what it does in the very turn in which the next request comes", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port);
  for (const end of ["fin", "rst"] as const) {
    for (let round = 0; round < 20; round++) {
      await call(pool);
      const socket = upstream.sockets.at(-1);
      if (socket === undefined) throw new Error("no connection");
      if (end === "fin") socket.destroySoon();
      else reset(socket);
      // In the kernel already when the call is made, but not told to anybody yet.
      await pause(1);
      busy(1);
      if ((await told(call(pool))) !== "200 body") t.fail(`${end}, round ${round}`);
    }
  }
});

t.test("who cannot be connected to has been sent nothing", async (t) => {
  const closed = await RawUpstream.start(t);
  const { port } = closed;
  const free = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => free.on("listening", resolve));
  const { port: refusing } = free.address() as { port: number };
  await new Promise((resolve) => free.close(resolve));
  const refused = await Promise.all([1, 2, 3].map(() => call(openPool(t, refusing, { connections: 1 }))));
  t.match(
    refused,
    [1, 2, 3].map(() => ({ kind: "unsent", error: { code: "ECONNREFUSED" } })),
  );
  const one = openPool(t, refusing, { connections: 1 });
  t.same(await Promise.all([1, 2, 3].map(() => told(call(one)))), ["unsent", "unsent", "unsent"], "each in its turn");
  const slow = call(openPool(t, port, { connectTimeoutMs: 1 }));
  // Begun in the next turn; the time is over before the turn that would tell of the connection.
  setImmediate(() => busy(10));
  t.match(await slow, { kind: "unsent", error: { code: "CONNECT_TIMEOUT" } });
  t.equal(closed.asked.length, 0);
});

t.test("a deadline that passes in the queue: not sent, now or later", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port, { connections: 1 });
  upstream.answer = ({ socket, body }) => void setTimeout(() => say(socket, ok(body)), 60);
  const first = call(pool, { body: Buffer.from("first") });
  const late = call(pool, { body: Buffer.from("late"), timeoutMs: 20 });
  t.match(await late, { kind: "unsent", error: { name: "TimeoutError" } });
  t.equal(await told(first), "200 first");
  t.equal(await told(call(pool, { body: Buffer.from("third") })), "200 third");
  t.same(
    upstream.asked.map(({ body }) => body),
    ["first", "third"],
  );
});

t.test("a lease that is over when a connection is had: not sent, and the connection is the next one's", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port, { connections: 1 });
  t.equal(await told(call(pool, { mayBeSent: () => true })), "200 body");
  t.match(await call(pool, { mayBeSent: () => false }), { kind: "unsent", isLate: true, error: { code: "LATE" } });
  t.equal(await told(call(pool)), "200 body");
  t.equal(upstream.asked.length, 2);
  t.equal(upstream.sockets.length, 1);
});

t.test("a deadline that passes while it connects: not sent, and the connection is the next one's", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port);
  const late = call(pool, { timeoutMs: 1 });
  // Begun in the next turn; connected in one after that, which comes too late.
  setImmediate(() => busy(10));
  t.equal(await told(late), "unsent");
  await until(() => upstream.sockets.length === 1);
  await pause(10);
  t.equal(upstream.asked.length, 0);
  t.equal(await told(call(pool)), "200 body");
  t.equal(upstream.sockets.length, 1);
});

t.test("a deadline that passes after it was sent: nobody knows, and the connection is not used again", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port, { connections: 1 });
  upstream.answer = ({ socket, nth, body }) => {
    if (nth > 1) return say(socket, ok(body));
    say(socket, "HTTP/1.1 200 OK\r\n");
  };
  t.equal(await told(call(pool, { timeoutMs: 30 })), "unanswered timeout");
  await until(() => upstream.sockets[0]?.readableEnded === true);
  t.equal(await told(call(pool)), "200 body");
  t.equal(upstream.sockets.length, 2);
});

t.test("a pool that is closed finishes what was begun and keeps nothing", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port, { connections: 2 });
  upstream.answer = ({ socket, body }) => void setTimeout(() => say(socket, ok(body)), 20);
  const calls = [1, 2, 3].map(() => call(pool));
  await upstream.arrived(1);
  pool.close();
  t.same(await Promise.all(calls.map(told)), ["200 body", "200 body", "200 body"]);
  await until(() => upstream.sockets.every((socket) => socket.readableEnded));
});

t.test("a pool that is destroyed ends every call at once, and sends none of those that waited", async (t) => {
  const upstream = await RawUpstream.start(t);
  const pool = openPool(t, upstream.port, { connections: 1 });
  upstream.answer = () => {};
  const calls = [1, 2].map(() => call(pool));
  await upstream.arrived(1);
  pool.destroy();
  t.same(await Promise.all(calls.map(told)), ["unanswered reset", "unsent"]);
  t.equal(await told(call(pool)), "unsent", "nor what comes later");
  await pause(20);
  t.equal(upstream.asked.length, 1);
});

t.test("an upstream that answers and closes without a word has nobody in doubt, however many wait", async (t) => {
  const upstream = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(ok("a"), "latin1"));
  });
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  t.teardown(() => upstream.close());
  const { port } = upstream.address() as AddressInfo;
  for (const connections of [1, 3]) {
    const pool = openPool(t, port, { connections });
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => call(pool)));
    t.same([...new Set(outcomes.map(({ kind }) => kind))], ["answered"]);
  }
});
