import t from "tap";
import { pseudonymOf } from "../../src/proxy/pseudonym.js";
import { RawClient, type RawResponse } from "../e2e/raw-client.js";
import { Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";

// What a proxy owes HTTP: Via, loops, Max-Forwards (RFC 9110 §7.6).

const upstream = await Upstream.start(t);
const gateway = await SampleGateway.start(t, { routes: [guarded("/pay", upstream.url), open("/*", upstream.url)] });
const { port } = gateway;
const send = (line: string, ...fields: string[]) =>
  RawClient.exchange(port, [`${line} HTTP/1.1`, "Host: a", "Content-Length: 0", ...fields].join("\r\n"));
const viaOf = (headers: RawResponse["headers"]) =>
  headers.filter(([name]) => name.toLowerCase() === "via").map(([, value]) => value);
const code = ({ body }: RawResponse) => JSON.parse(body.toString()).code;

t.test("requests and responses say on both lanes that they have passed, behind what they said before", async (t) => {
  for (const target of ["POST /pay", "GET /other", "POST /other"]) {
    const response = await send(target, "Via: 1.0 edge, 1.1 cdn (x)", `Idempotency-Key: ${target.length}`);
    const [before, own = ""] = viaOf(upstream.journal.at(-1)?.headers ?? []);
    t.equal(before, "1.0 edge, 1.1 cdn (x)", target);
    t.match(own, /^1\.1 ig-[0-9a-f]{12}$/);
    t.same(viaOf(response.headers), [own]);
  }
  const replay = await send("POST /pay", "Idempotency-Key: 9");
  t.match(replay.headers, [["Idempotent-Replayed", "true"]].slice(1), "a replay");
  t.equal(viaOf(replay.headers).length, 1);
});

t.test("a request with our own mark is 508, and nothing is claimed or sent", async (t) => {
  await send("GET /other");
  const [mark = ""] = viaOf(upstream.journal.at(-1)?.headers ?? []);
  const name = mark.split(" ")[1];
  const before = upstream.journal.length;
  const claims: string[] = [];
  gateway.trouble.asked = (verb) => claims.push(verb);
  t.teardown(() => {
    delete (gateway.trouble as { asked?: unknown }).asked;
  });
  for (const via of [mark, `1.0 ${name}`, `HTTP/1.1 ${name} (again)`, `1.1 a, 1.1 ${name},1.1 b`]) {
    for (const line of ["POST /pay", "GET /other", "PROPFIND /other", "OPTIONS /pay"]) {
      const response = await send(line, `Via: ${via}`, "Idempotency-Key: loop");
      t.equal(response.status, 508, `${line}, ${via}`);
      t.equal(code(response), "loop-detected");
    }
  }
  t.equal(
    (await send("POST /pay", "Via: 1.1 a", `Via: ${mark}`, "Idempotency-Key: loop")).status,
    508,
    "a second line",
  );
  const socket = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"];
  t.equal((await send("GET /socket", ...socket, `Via: ${mark}`)).status, 508, "an upgrade");
  t.equal(upstream.journal.length, before);
  t.same(claims, []);
  t.equal((await send("POST /pay", `Via: 1.1 x${name}`, "Idempotency-Key: other")).status, 201, "another's name");
});

t.test("a gateway whose upstream leads back to it ends the loop at the first return", async (t) => {
  const relay = await Upstream.start(t);
  const looping = await SampleGateway.start(t, { routes: [guarded("/pay", relay.url), open("/*", relay.url)] });
  const back = async (target: string, headers: readonly [string, string][]) =>
    RawClient.exchange(
      looping.port,
      [
        `POST ${target} HTTP/1.1`,
        ...headers.filter(([name]) => !/^(connection|content-length)$/i.test(name)).map((pair) => pair.join(": ")),
        "Content-Length: 0",
      ].join("\r\n"),
    );
  for (const path of ["/pay", "/open"]) {
    relay.on(path, async ({ entry, response }) => {
      const returned = await back(path, entry.headers);
      response.writeHead(returned.status).end(returned.body);
    });
    const fields = [`POST ${path} HTTP/1.1`, "Host: a", "Content-Length: 0", "Idempotency-Key: k"];
    const response = await RawClient.exchange(looping.port, fields.join("\r\n"));
    t.equal(response.status, 508, path);
    t.equal(relay.journal.filter((entry) => entry.path === path).length, 1, path);
  }
});

t.test("the mark is one for each store and key prefix, and tells nothing of its address", async (t) => {
  const redis = {
    type: "redis" as const,
    url: "redis://user:secret@store:6379/0",
    sentinel: null,
    cluster: null,
    keyPrefix: "ig:",
    commandTimeoutMs: 1,
    waitReplicas: 0,
    requireNoEviction: true,
    locks: { nodes: [] },
  };
  const mark = pseudonymOf(redis);
  t.match(mark, /^ig-[0-9a-f]{12}$/);
  t.equal(pseudonymOf({ ...redis, url: "redis://other:password@store:6379/0", waitReplicas: 1 }), mark);
  const others = [
    { ...redis, keyPrefix: "other:" },
    { ...redis, url: "redis://store:6379/1" },
    { ...redis, url: "redis://store:6380/0" },
    { ...redis, url: "redis://store2:6379/0" },
    { ...redis, cluster: { nodes: ["store:6379"] } },
    { ...redis, sentinel: { master: "store", nodes: ["a:1"] } },
    { type: "embedded" as const, path: "/a" },
    { type: "embedded" as const, path: "/b" },
  ];
  t.equal(new Set([mark, ...others.map(pseudonymOf)]).size, others.length + 1);
});

t.test("Max-Forwards of OPTIONS and TRACE is counted down, and 0 is answered here", async (t) => {
  const told = () =>
    upstream.journal
      .at(-1)
      ?.headers.filter(([name]) => name === "Max-Forwards")
      .map(([, value]) => value);
  for (const method of ["OPTIONS", "TRACE"]) {
    await send(`${method} /other`, "Max-Forwards: 3");
    t.match(upstream.journal.at(-1), { method });
    t.same(told(), ["2"], method);
    await send(`${method} /other`, "Max-Forwards: many");
    t.same(told(), ["many"], "no number");
  }
  await send("GET /other", "Max-Forwards: 3");
  t.same(told(), ["3"], "another method");
  const before = upstream.journal.length;
  t.equal((await send("GET /other", "Max-Forwards: 0")).status, 201);
  const options = await send("OPTIONS /pay", "Max-Forwards: 0");
  t.equal(options.status, 204);
  const trace = await send("TRACE /other?a", "Max-Forwards: 0", "Authorization: secret", "X-Api-Key: secret");
  t.equal(trace.status, 200);
  t.match(trace.headers, [["Content-Type", "message/http"]]);
  t.match(trace.body.toString(), /^TRACE \/other\?a HTTP\/1\.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n$/);
  t.equal((await send("OPTIONS *")).status, 204, "the server as a whole");
  t.equal(upstream.journal.length, before + 1);
});
