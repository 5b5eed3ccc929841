import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import t from "tap";
import { addressCertificate, certificate, key, otherKey } from "../config/pem.js";
import { post } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { open, SampleGateway } from "../spec/gateway.js";

// By which name an upstream is known, whatever a request says, and what it is shown.

const folder = mkdtempSync(join(tmpdir(), "idempotency-tls-"));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const pem = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const ca = pem("ca.pem", certificate);
const addressCa = pem("address-ca.pem", addressCertificate);
const keyFile = pem("key.pem", key);

interface Tls {
  readonly server: Server;
  readonly port: number;
  /** What each connection asked for. */
  readonly names: (string | false | null)[];
}

async function listen(options: object): Promise<Tls> {
  const names: Tls["names"] = [];
  const server = createServer({ key, ...options }, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate();
    request.resume();
    response.end(`${request.headers.host} ${subject?.CN ?? ""}`.trim());
  });
  server.on("secureConnection", (socket) => names.push(socket.servername));
  server.on("tlsClientError", () => {});
  server.on("upgrade", (_request, socket) => {
    socket.end("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => void server.close().closeAllConnections());
  return { server, port: (server.address() as AddressInfo).port, names };
}

const lanes = (upstream: object) => [
  { name: "pay", match: { path: "/pay" }, upstream, idempotency: {} },
  { name: "probed", match: { path: "/probed" }, upstream, idempotency: {} },
  { ...open("/*", ""), upstream },
];

t.test("the name that is asked for and verified is the URL's, on every lane, and connections are shared", async (t) => {
  const api = await listen({ cert: certificate });
  const gateway = await SampleGateway.start(t, {
    routes: lanes({ url: `https://localhost:${api.port}`, tls: { ca } }),
  });
  for (const host of ["api.shop.example", "127.0.0.1", "localhost", "[::1]:99"]) {
    for (const path of ["/pay", "/bare"]) {
      const reply = await post(`${gateway.url}${path}`, {
        key: `${path} ${host}`.replaceAll(" ", "-"),
        headers: { host },
      });
      t.match(reply, { status: 200, text: host }, `${path} ${host}`);
    }
  }
  t.same(api.names, ["localhost"], "one connection for all of them");
  const client = await RawClient.connect(gateway.port);
  client.write("GET /socket HTTP/1.1\r\nHost: api.shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  t.equal((await client.head()).status, 101);
  client.hangUp();
  t.same(api.names, ["localhost", "localhost"]);
});

t.test("of an upstream that is named by its address the certificate must name the address", async (t) => {
  const named = await listen({ cert: certificate });
  const addressed = await listen({ cert: addressCertificate });
  const gateway = await SampleGateway.start(t, {
    routes: lanes({ url: `https://127.0.0.1:${addressed.port}`, tls: { ca: addressCa } }),
  });
  const wrong = await SampleGateway.start(t, {
    routes: lanes({ url: `https://127.0.0.1:${named.port}`, tls: { ca } }),
  });
  const told = await SampleGateway.start(t, {
    routes: lanes({ url: `https://127.0.0.1:${named.port}`, tls: { ca, serverName: "localhost" } }),
  });
  for (const path of ["/pay", "/bare"]) {
    t.match(await post(`${gateway.url}${path}`, { key: "a", headers: { host: "localhost" } }), { status: 200 });
    t.match(await post(`${wrong.url}${path}`, { key: "a", headers: { host: "localhost" } }), {
      status: 502,
      code: "upstream-unreachable",
    });
    t.match(await post(`${told.url}${path}`, { key: "a", headers: { host: "other" } }), { status: 200 });
  }
  t.same(new Set(addressed.names), new Set([false]), "an address is not asked for");
  t.same(new Set(named.names.filter((name) => name !== false)), new Set(["localhost"]));
});

t.test("an upstream that asks for a certificate is shown the route's, and a renewed one after a reload", async (t) => {
  const api = await listen({ cert: certificate, requestCert: true, ca: [certificate, addressCertificate] });
  const cert = pem("client.pem", certificate);
  const settings = {
    routes: lanes({ url: `https://localhost:${api.port}`, tls: { ca: `file:${ca}`, cert, key: keyFile } }),
  };
  const gateway = await SampleGateway.start(t, settings);
  const shown = async (key: string) => [
    (await post(`${gateway.url}/pay`, { key, headers: { host: "h" } })).text,
    (await post(`${gateway.url}/bare`, { headers: { host: "h" } })).text,
  ];
  t.same(await shown("first"), ["h localhost", "h localhost"]);
  pem("client.pem", addressCertificate);
  gateway.reload(t, settings);
  t.same(await shown("second"), ["h 127.0.0.1", "h 127.0.0.1"]);
});

t.test("an upstream nobody vouches for gets nothing, and its request's key is free", async (t) => {
  const api = await listen({ cert: certificate });
  pem("other-key.pem", otherKey);
  const gateway = await SampleGateway.start(t, { routes: lanes({ url: `https://localhost:${api.port}` }) });
  for (const path of ["/pay", "/pay", "/bare"]) {
    t.match(await post(`${gateway.url}${path}`, { key: "a" }), { status: 502, code: "upstream-unreachable" });
  }
});
