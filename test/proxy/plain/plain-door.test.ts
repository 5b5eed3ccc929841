import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { PlainClient, type PlainDoor } from "../../../src/proxy/plain/plain-client.js";
import type { PlainRequest } from "../../../src/proxy/plain/plain-request.js";
import { RawClient } from "../../e2e/raw-client.js";

// A client's connection without a gateway behind it: what it reads, writes, holds and tells.

const one = (body: string) => `POST / HTTP/1.1\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const answerHead = (bytes: number) => `HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n`;
const keepAlive = "Connection: keep-alive\r\n\r\n";

interface Script {
  readonly begin?: (client: PlainClient<PlainRequest>, body: Buffer) => boolean;
  readonly isAdmitted?: (request: PlainRequest) => boolean;
}

/** A port whose connections are answered by the script. */
async function start(t: { teardown(handler: () => unknown): void }, { begin, isAdmitted }: Script) {
  const seen = {
    clients: [] as PlainClient<PlainRequest>[],
    /** For each request that was listened to. */
    told: [] as boolean[],
    bodies: [] as string[],
    heldBytes: 0,
    left: [] as string[],
    gone: 0,
  };
  const door: PlainDoor<PlainRequest> = {
    admit(client, request) {
      if (isAdmitted?.(request) === false) return undefined;
      client.listen({ closed: (isWhole) => void seen.told.push(isWhole) });
      return request;
    },
    begin(client, _request, body) {
      if (begin?.(client, body) === false) return false;
      seen.bodies.push(body.toString("latin1"));
      client.free();
      return true;
    },
    take(bytes) {
      seen.heldBytes += bytes;
      return true;
    },
    give(bytes) {
      seen.heldBytes -= bytes;
    },
    leave: (_socket, octets) => void seen.left.push(octets.toString("latin1")),
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket: Socket) => {
    seen.clients.push(new PlainClient(socket, door, () => void seen.gone++, keepAlive, 16));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    for (const { socket } of seen.clients) socket.destroy();
    server.close();
  });
  return { ...(server.address() as AddressInfo), seen };
}

async function until(isSo: () => boolean): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!isSo()) {
    if (performance.now() > endMs) throw new Error("it never came");
    await pause(2);
  }
}

const echo = (client: PlainClient<PlainRequest>, body: Buffer) => {
  setImmediate(() => client.answer(answerHead(body.length), body));
  return true;
};

t.test("answers of every size go out whole, and the next request is answered after them", async (t) => {
  const sizes = [0, 1, 1_000, 16 * 1024, 16 * 1024 + 1, 3_000_000];
  const { port, seen } = await start(t, {
    begin: (client, body) => echo(client, Buffer.alloc(Number(body), "abc")),
  });
  const client = await RawClient.connect(port);
  client.write(sizes.map((size) => one(String(size))).join(""));
  for (const size of sizes) t.ok((await client.response()).body.equals(Buffer.alloc(size, "abc")), `${size} bytes`);
  await until(() => seen.told.length === sizes.length);
  t.same(
    seen.told,
    sizes.map(() => true),
  );
  client.hangUp();
  await until(() => seen.gone === 1);
});

t.test("a client that reads late gets every answer, whatever the system took of it at once", async (t) => {
  const { port, seen } = await start(t, { begin: (client) => echo(client, Buffer.alloc(9_000)) });
  const client = await RawClient.connect(port);
  let bytes = 0;
  client.socket.removeAllListeners("data").on("data", (part: Buffer) => {
    bytes += part.length;
  });
  client.socket.pause();
  const count = 1_500;
  for (let at = 0; at < count; at++) client.write(one("x"));
  let before = -1;
  while (seen.bodies.length > before) {
    before = seen.bodies.length;
    await pause(50);
  }
  t.ok(before < count, `${before} of ${count} were begun while nothing was read`);
  client.socket.resume();
  await until(() => seen.told.length === count);
  await until(() => bytes === count * (answerHead(9_000).length + keepAlive.length + 9_000));
  client.hangUp();
});

t.test("a long row of requests is read as it is answered, not before", async (t) => {
  const { port, seen } = await start(t, { begin: echo });
  const client = await RawClient.connect(port);
  client.socket.removeAllListeners("data").resume();
  client.write(one("0123456789").repeat(60_000));
  for (const count of [100, 500, 1_000]) {
    await until(() => seen.bodies.length >= count);
    const early = (seen.clients[0]?.socket.bytesRead ?? 0) - seen.bodies.length * one("0123456789").length;
    t.ok(early < 512 * 1024, `${early} bytes were read before their turn, of which ${count} came`);
  }
  client.hangUp();
  await until(() => seen.gone === 1);
});

t.test("a row is read on where it stopped, to its last octet", async (t) => {
  const { port, seen } = await start(t, { begin: echo });
  const bodies = Array.from({ length: 40 }, (_, at) => String(at).repeat(5_000));
  const client = await RawClient.connect(port);
  client.write(bodies.map(one).join(""));
  for (const body of bodies) if (String((await client.response()).body) !== body) t.fail(body.slice(0, 2));
  t.same(seen.bodies, bodies);
  t.equal(seen.heldBytes, 0);
  client.hangUp();
});

t.test("what is left to another reader is left from the first octet of the request on", async (t) => {
  const odd = "GET /odd HTTP/1.1\r\n\r\n";
  const after = `${odd}${one("behind")}`;
  const { port, seen } = await start(t, {
    begin: (client, body) => String(body) !== "refused" && echo(client, body),
    isAdmitted: ({ bodyBytes }) => bodyBytes !== 13,
  });
  const rows = {
    "an odd head": after,
    "half a head": odd.slice(0, 10),
    "one that is not admitted": one("not admitted!") + after,
    "one that is refused at the end": one("refused") + after,
  };
  for (const [name, row] of Object.entries(rows)) {
    const client = await RawClient.connect(port);
    client.write(one("first") + row);
    await client.response();
    await until(() => seen.left.length > 0);
    t.same(seen.left.splice(0), [row], name);
    client.hangUp();
  }
  const client = await RawClient.connect(port);
  client.write(one("refused").slice(0, -3));
  await pause(10);
  client.write("sed and more");
  await until(() => seen.left.length > 0);
  t.same(seen.left, [`${one("refused")} and more`], "a body in pieces");
  t.equal(seen.heldBytes, 0);
  t.same(seen.told, Array(4).fill(true), "nobody is told of those that are left");
  for (const { socket } of seen.clients) {
    for (const name of ["data", "end", "error", "drain"]) t.equal(socket.listenerCount(name) <= 1, true, name);
  }
  client.hangUp();
});

t.test("an answer for a client that has shut its side is not said to have gone out", async (t) => {
  const { port, seen } = await start(t, {
    begin(client) {
      client.socket.on("end", () => client.answer(answerHead(2), Buffer.from("ok")));
      return true;
    },
  });
  const client = await RawClient.connect(port);
  client.write(one("x"));
  client.socket.end();
  await until(() => seen.gone === 1);
  t.same(seen.told, [false]);
});

t.test("it ends with the answer it is owed, at once where it owes none", async (t) => {
  const held: (() => void)[] = [];
  const { port, seen } = await start(t, {
    begin(client, body) {
      held.push(() => client.answer(answerHead(body.length), body));
      return true;
    },
  });
  const clients: Record<string, RawClient> = {};
  for (const [name, octets] of Object.entries({ idle: "", answering: `${one("owed")}${one("not owed")}` })) {
    const client = await RawClient.connect(port);
    clients[name] = client;
    client.write(octets);
  }
  await until(() => held.length === 1 && seen.clients.length === 2);
  for (const client of seen.clients) client.endWhenAnswered();
  await clients.idle?.ended();
  held[0]?.();
  const response = await clients.answering?.response();
  t.match(response, { status: 200, body: Buffer.from("owed") });
  t.same(response?.headers.at(-1), ["Connection", "close"]);
  await clients.answering?.ended();
  t.equal(held.length, 1, "what came behind it is not begun");
});

t.test("one whose client reads slowly ends when all of its answer has gone out", async (t) => {
  const body = Buffer.alloc(9_000_000, "abc");
  const { port, seen } = await start(t, { begin: (client) => echo(client, body) });
  const client = await RawClient.connect(port);
  client.socket.pause();
  client.write(one("x"));
  await until(() => seen.clients[0]?.phase === "flushing");
  seen.clients[0]?.endWhenAnswered();
  client.socket.resume();
  t.ok((await client.response()).body.equals(body));
  await client.ended();
  t.same(seen.told, [true]);
});
