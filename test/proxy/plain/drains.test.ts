import { setTimeout as pause } from "node:timers/promises";
import t, { type Test } from "tap";
import { headerOf } from "../../e2e/client.js";
import { RawClient } from "../../e2e/raw-client.js";
import { type Call, Gate, Upstream } from "../../e2e/upstream.js";
import { guarded, SampleGateway } from "../../spec/gateway.js";

// The end of a gateway, for clients in every phase of a plain request.

const upstream = await Upstream.start(t);
const settings = {
  server: { limits: { requestBody: "64KiB", requestTimeout: "1s", headersTimeout: "1s" } },
  routes: [
    guarded("/pay", upstream.url),
    guarded("/small", upstream.url, { response: { maxStored: "1KiB" } }),
    guarded("/large", upstream.url, { response: { maxStored: "16MiB" } }),
    guarded("/in-body", upstream.url, { key: { from: "body:/id" } }),
  ],
};
const host = "Host: localhost";
const request = (path: string, key: string, body = "") =>
  `POST ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: ${key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const echo = ({ entry, response }: Call) => response.writeHead(201).end(entry.body);
const whole = Buffer.alloc(4_000_000, "large");

/** A client of a gateway that is draining as soon as `begun` is true. */
async function during(t: Test, octets: string, begun: (gateway: SampleGateway) => Promise<unknown>) {
  const gateway = await SampleGateway.start(t, settings);
  const client = await RawClient.connect(gateway.port);
  client.write(octets);
  await begun(gateway);
  const drained = gateway.server.drain();
  await pause(20);
  return { gateway, client, drained };
}

t.test("who has asked nothing, or was answered, is let go at once", async (t) => {
  upstream.on("/pay", echo);
  const silent = await during(t, "", () => pause(10));
  await silent.client.ended();
  await silent.drained;
  const idle = await during(t, request("/pay", "idle"), (gateway) =>
    gateway.until("it is told of", () => gateway.seen("request").length === 1),
  );
  t.equal((await idle.client.response()).status, 201);
  await idle.client.ended();
  await idle.drained;
});

t.test("who is sending a body is answered", async (t) => {
  const { client, drained, gateway } = await during(t, request("/pay", "receiving", "body").slice(0, -2), (gateway) =>
    gateway.until("it is held", () => gateway.budget.usedBytes === 2),
  );
  client.write("dy");
  const response = await client.response();
  t.match(response, { status: 201, body: Buffer.from("body") });
  t.equal(headerOf(response, "connection"), "close");
  await client.ended();
  await drained;
  await gateway.quiet();
});

t.test("who does not send the rest of it does not keep the gateway", async (t) => {
  const { client, drained, gateway } = await during(t, request("/pay", "late", "body").slice(0, -2), (gateway) =>
    gateway.until("it is held", () => gateway.budget.usedBytes === 2),
  );
  t.equal((await client.response()).status, 408);
  await client.ended();
  await drained;
  await gateway.quiet();
});

t.test("who sends a body that turns out to lack the key is answered as well", async (t) => {
  const { client, drained } = await during(t, request("/in-body", "none", "{}").slice(0, -1), (gateway) =>
    gateway.until("it is held", () => gateway.budget.usedBytes === 1),
  );
  client.write("}");
  const response = await client.response();
  t.match([response.status, JSON.parse(String(response.body)).code], [400, "key-missing"]);
  t.equal(headerOf(response, "connection"), "close");
  await client.ended();
  await drained;
});

t.test("who waits for an answer gets it; what came behind the request is not begun", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(echo));
  const before = upstream.count("/pay");
  const row = request("/pay", "answering", "1") + request("/pay", "behind", "2");
  const { client, drained } = await during(t, row, () => upstream.arrived("/pay", before + 1));
  gate.open();
  const response = await client.response();
  t.match(response, { status: 201, body: Buffer.from("1") });
  t.equal(headerOf(response, "connection"), "close");
  await client.ended();
  await drained;
  t.equal(upstream.count("/pay"), before + 1);
});

t.test("a streamed answer is passed on to its end, whether the drain came before it or in its middle", async (t) => {
  for (const at of ["before", "amid"]) {
    const gate = new Gate();
    upstream.on("/small", async ({ response }) => {
      if (at === "before") await gate.opened;
      response.writeHead(200, { "content-length": whole.length });
      response.write(whole.subarray(0, 100_000));
      await gate.opened;
      response.end(whole.subarray(100_000));
    });
    const before = upstream.count("/small");
    const { client, drained } = await during(t, request("/small", at), async (gateway) => {
      await upstream.arrived("/small", before + 1);
      if (at === "amid") await gateway.until("its head is there", () => gateway.seen("upstream").length > 0);
    });
    gate.open();
    const response = await client.response();
    t.ok(response.body.equals(whole), at);
    t.equal(headerOf(response, "connection"), at === "before" ? "close" : "keep-alive");
    await client.ended();
    await drained;
  }
});

t.test("who reads slowly gets all of the answer", async (t) => {
  upstream.on("/large", ({ response }) => response.writeHead(200).end(whole));
  const before = upstream.count("/large");
  const { client, drained } = await during(t, request("/large", "flushing"), async (gateway) => {
    await upstream.arrived("/large", before + 1);
    await gateway.until("it is stored", () => gateway.inFlight === 0);
  });
  const response = await client.response();
  t.ok(response.body.equals(whole));
  await client.ended();
  await drained;
});
