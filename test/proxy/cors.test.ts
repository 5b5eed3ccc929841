import t from "tap";
import { replayedCors } from "../../src/rules/cors.js";
import { RawClient, type RawResponse } from "../e2e/raw-client.js";
import { Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";

// What pages of other origins may read of the gateway's own answers and of replays.

const upstream = await Upstream.start(t);
upstream.on("/pay", ({ entry, response }) => {
  const origin = entry.headers.find(([name]) => name.toLowerCase() === "origin")?.[1];
  const headers = ["Access-Control-Allow-Origin", origin ?? "none", "Access-Control-Allow-Credentials", "true"];
  response.writeHead(201, [...headers, "Vary", "Accept"]).end("paid");
});
const cors = { allowOrigins: ["https://shop.example", "https://app.example"], allowCredentials: true };
const to = (path: string, more: object) => ({ ...guarded(path, upstream.url), ...more });
const gateway = await SampleGateway.start(t, {
  defaults: { cors },
  routes: [
    guarded("/pay", upstream.url),
    to("/any", { cors: { allowOrigins: ["*"], allowCredentials: false } }),
    to("/closed", { cors: { allowOrigins: [] } }),
    { ...open("/gone", "http://127.0.0.1:1"), name: "gone" },
    { ...open("/options", upstream.url), name: "options", match: { path: "/both", methods: ["OPTIONS"] } },
    guarded("/both", "http://127.0.0.1:1"),
  ],
});

const send = (line: string, ...fields: string[]) =>
  RawClient.exchange(gateway.port, [`${line} HTTP/1.1`, "Host: a", "Content-Length: 0", ...fields].join("\r\n"));
const valuesOf = ({ headers }: RawResponse, name: string) =>
  headers.filter(([known]) => known.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
const granted = (response: RawResponse) => valuesOf(response, "Access-Control-Allow-Origin");
const shop = "Origin: https://shop.example";

t.test("every problem of a route can be read by a page of an allowed origin, and by no other", async (t) => {
  const problem = await send("POST /pay", shop);
  t.equal(problem.status, 400);
  t.same(granted(problem), ["https://shop.example"]);
  t.same(valuesOf(problem, "Access-Control-Allow-Credentials"), ["true"]);
  t.same(valuesOf(problem, "Vary"), ["Origin"]);
  const [exposed = ""] = valuesOf(problem, "Access-Control-Expose-Headers");
  for (const name of ["Idempotent-Replayed", "Retry-After", "Idempotency-Record", "Idempotency-Expires"]) {
    t.ok(exposed.split(", ").includes(name), name);
  }
  for (const origin of ["Origin: https://evil.example", "Origin: https://shop.example.evil", "Origin: null"]) {
    const other = await send("POST /pay", origin);
    t.same(granted(other), [], origin);
    t.same(valuesOf(other, "Vary"), ["Origin"]);
  }
  t.same(granted(await send("POST /closed", shop)), [], "a route may allow none");
  const any = await send("POST /any", "Origin: https://evil.example");
  t.same(granted(any), ["*"]);
  t.same(valuesOf(any, "Access-Control-Allow-Credentials"), []);
  const gone = await send("GET /gone", shop);
  t.equal(gone.status, 502);
  t.same(granted(gone), ["https://shop.example"], "of an unprotected route, too");
});

t.test("a replay allows the origin that asks, and never the one that asked first", async (t) => {
  const key = (name: string) => `Idempotency-Key: ${name}`;
  const first = await send("POST /pay", key("a"), shop);
  t.same(granted(first), ["https://shop.example"]);
  t.same(valuesOf(first, "Vary"), ["Accept"], "a first answer is the API's own");
  const app = await send("POST /pay", key("a"), "Origin: https://app.example");
  t.same(valuesOf(app, "Idempotent-Replayed"), ["true"]);
  t.same(granted(app), ["https://app.example"]);
  t.same(valuesOf(app, "Access-Control-Allow-Credentials"), ["true"]);
  t.same(valuesOf(app, "Vary"), ["Accept", "Origin"]);
  const evil = await send("POST /pay", key("a"), "Origin: https://evil.example");
  t.same([granted(evil), valuesOf(evil, "Access-Control-Allow-Credentials")], [[], []]);
  t.equal(evil.status, 201);
  t.same(granted(await send("POST /pay", key("a"))), [], "no page asks: nothing is said of another's origin");
});

t.test("without a setting, a replay keeps what the API says to everybody or to the same origin", async (t) => {
  const stored = (value: string) => ["Access-Control-Allow-Origin", value, "X", "1"];
  const replayed = (value: string, ...request: string[]) => replayedCors(stored(value), null, request, "R");
  t.same(replayed("*", "Origin", "https://a"), stored("*"));
  t.same(replayed("https://a", "origin", "https://a"), stored("https://a"));
  t.same(replayed("https://a", "Origin", "https://b"), ["X", "1"]);
  t.same(replayed("https://a"), ["X", "1"]);
});

t.test("a preflight goes, unprotected, to where the request would go that it asks for", async (t) => {
  upstream.on("/pay", ({ response }) => response.writeHead(204, { "Access-Control-Allow-Methods": "POST" }).end());
  const before = upstream.journal.length;
  const preflight = await send("OPTIONS /pay", shop, "Access-Control-Request-Method: POST");
  t.equal(preflight.status, 204);
  t.same(valuesOf(preflight, "Access-Control-Allow-Methods"), ["POST"]);
  t.match(upstream.journal.at(-1), { method: "OPTIONS", target: "/pay" });
  t.equal(upstream.journal.length, before + 1);
  t.equal(
    (await send("OPTIONS /both", shop, "Access-Control-Request-Method: POST")).status,
    201,
    "a route for OPTIONS",
  );
  const override = await send("OPTIONS /pay", shop, "Access-Control-Request-Method: POST", "X-HTTP-Method: POST");
  t.equal(override.status, 400, "an overridden method makes it no preflight");
  for (const target of ["/pay.json", "//pay", "/pay%3Fx"]) {
    const { status } = await send(`OPTIONS ${target}`, shop, "Access-Control-Request-Method: POST");
    t.ok([400, 404].includes(status), `${target}: ${status}`);
  }
  t.equal(upstream.journal.at(-1)?.target, "/both", "and nothing else was forwarded");
});
