import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { attachParser, queuedBytes, stopListening } from "../../src/proxy/node-parser.js";

// What `src/proxy/node-parser.ts` relies on, as node 20 to 24 have it.

async function listening(
  t: { teardown(handler: () => unknown): void },
  take: (socket: Socket, attach: (socket: Socket) => void) => void,
) {
  const server = createServer();
  const [attach] = server.listeners("connection") as [(socket: Socket) => void];
  server.removeAllListeners("connection");
  server.on("connection", (socket: Socket) => take(socket, (one) => attach.call(server, one)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.on("error", () => {});
  t.teardown(() => client.destroy());
  return { server, client };
}

t.test("node's parser gets the bytes it is given and no others, and its answers go out", async (t) => {
  const seen: string[] = [];
  let parse: (bytes: Buffer) => void = () => {};
  const { server, client } = await listening(t, (socket, attach) => {
    parse = attachParser(socket, attach);
    socket.on("data", (bytes: Buffer) => seen.push(bytes.toString()));
  });
  const requests: IncomingMessage[] = [];
  server.on("request", (request, response) => {
    requests.push(request);
    response.end("answer");
  });
  client.write("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
  while (seen.length === 0) await pause(5);
  await pause(20);
  t.equal(requests.length, 0, "it reads nothing by itself");
  parse(Buffer.from("GET /b HTTP/1.1\r\nHost: h\r\n\r\n"));
  t.same(
    requests.map(({ url, complete }) => [url, complete]),
    [["/b", true]],
    "a head is read at once",
  );
  const [answered] = await new Promise<[Buffer]>((resolve) => client.once("data", (bytes: Buffer) => resolve([bytes])));
  t.match(answered.toString(), /^HTTP\/1\.1 200 OK\r\n.*answer$/s);
});

t.test("a reader that has enough pauses the socket, and resumes it when it wants more", async (t) => {
  let parse: (bytes: Buffer) => void = () => {};
  let socket: Socket | undefined;
  const { server } = await listening(t, (one, attach) => {
    socket = one;
    parse = attachParser(one, attach);
    one.on("data", () => {});
  });
  let request: IncomingMessage | undefined;
  server.on("request", (one) => {
    request = one;
  });
  while (socket === undefined) await pause(5);
  parse(Buffer.from("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"));
  parse(Buffer.alloc(200_000));
  t.ok(socket.isPaused());
  request?.resume();
  await pause(20);
  t.notOk(socket.isPaused());
});

t.test("what the system has not taken is counted, and a server that stops keeps the connections it has", async (t) => {
  let socket: Socket | undefined;
  const { server, client } = await listening(t, (one) => {
    socket = one;
  });
  while (socket === undefined) await pause(5);
  client.pause();
  socket.write(Buffer.alloc(50_000_000));
  await pause(50);
  t.ok(queuedBytes(socket) > 1_000_000);
  let isClosed = false;
  const closed = stopListening(server).then(() => {
    isClosed = true;
  });
  await pause(30);
  t.notOk(isClosed);
  let bytes = 0;
  client.on("data", (part: Buffer) => {
    bytes += part.length;
  });
  client.resume();
  while (bytes < 50_000_000) await pause(5);
  t.equal(queuedBytes(socket), 0);
  socket.destroy();
  await closed;
  t.ok(isClosed);
});
