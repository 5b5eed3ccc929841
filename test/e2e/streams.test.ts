import t from "tap";
import { send } from "./client.js";
import { Gateway, tempFolder } from "./harness.js";
import { RawClient } from "./raw-client.js";
import { Gate, Upstream } from "./upstream.js";

// Streams on two gateway processes that share a store: who waits elsewhere, and what a killed gateway leaves behind.

const upstream = await Upstream.start(t);
const folder = await tempFolder(t);
const leaseMs = 800;
const routes = [
  {
    name: "stream",
    match: { path: "/stream" },
    upstream: { url: upstream.url },
    idempotency: { lease: `${leaseMs}ms` },
  },
];
const server = { drainTimeout: "20s" };
const a = await Gateway.start(t, { server, routes }, folder);
const b = await Gateway.start(t, { server, routes }, folder);

/** The head and a part of a stream that goes on when the gate opens. */
async function begin(key: string): Promise<{ client: RawClient; gate: Gate }> {
  const gate = new Gate();
  upstream.on("/stream", async ({ response }) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" }).write("1\n");
    await gate.opened;
    response.end("2\n");
  });
  const client = await RawClient.connect(a.port);
  const host = `Host: 127.0.0.1:${a.port}`;
  client.write(`POST /stream HTTP/1.1\r\n${host}\r\nIdempotency-Key: ${key}\r\nContent-Length: 0\r\n\r\n`);
  t.equal((await client.head()).status, 200);
  await a.until("the first part has come", () => client.received.includes("1\n"));
  return { client, gate };
}

/** With the `Host` of the first client, which may be part of the scope. */
const again = (gateway: Gateway, key: string) =>
  send(`${gateway.url}/stream`, { key, headers: { host: `127.0.0.1:${a.port}` } }).reply;

t.test("a stream outlives its lease, and those who wait at another process learn how it ended", async (t) => {
  const before = upstream.count("/stream");
  const { client, gate } = await begin("long");
  const waits = [again(b, "long"), again(a, "long")];
  await b.waiters(1);
  await new Promise((resolve) => setTimeout(resolve, 3 * leaseMs));
  t.equal(await b.recordState("long"), "in_flight", "the lease is renewed");
  gate.open();
  for (const reply of await Promise.all(waits)) t.match(reply, { status: 409, code: "response-not-stored" });
  await a.until("the stream has ended", () => client.received.includes("\r\n0\r\n\r\n"));
  t.equal(await b.recordState("long"), "not_replayable");
  t.equal(upstream.count("/stream"), before + 1);
});

t.test("a gateway that is killed amid a stream leaves it in doubt, and its client with a torn one", async (t) => {
  const before = upstream.count("/stream");
  const { client, gate } = await begin("killed");
  a.process.signal("SIGKILL");
  await client.ended();
  t.notOk(client.received.includes("\r\n0\r\n\r\n"));
  gate.open();
  await b.until("the lease is over", async () => {
    const reply = await again(b, "killed");
    return reply.code === "outcome-unknown";
  });
  t.match(await b.records("killed"), [{ state: "in_doubt", cause: "lease_expired" }]);
  t.equal(upstream.count("/stream"), before + 1);
  await a.restart();
});

t.test("a drain waits for a stream, with its client or without", async (t) => {
  const { client, gate } = await begin("drained");
  const other = await begin("left");
  other.client.hangUp();
  const stopped = a.stop();
  await a.until("it drains", async () => (await a.readiness()) !== 200);
  t.equal(await b.recordState("drained"), "in_flight");
  gate.open();
  other.gate.open();
  t.match(await stopped, { code: 0 });
  t.ok(client.received.includes("2\n"));
  for (const key of ["drained", "left"]) t.equal(await b.recordState(key), "not_replayable", key);
});
