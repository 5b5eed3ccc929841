import t from "tap";
import { RawClient, type RawResponse } from "../e2e/raw-client.js";
import { Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";

// What the gateway says about itself on the traffic port, and which methods a path takes.

const upstream = await Upstream.start(t);
const protectedOnly = (path: string, methods: string[], host?: string) => ({
  ...guarded(path, upstream.url),
  name: `${host ?? ""}${path}${methods}`,
  match: { path, methods, ...(host === undefined ? {} : { host }) },
});
const gateway = await SampleGateway.start(t, {
  routes: [
    protectedOnly("/v1/pay", ["POST"]),
    protectedOnly("/v1/orders/:id", ["PUT", "PATCH"]),
    protectedOnly("/v1/*", ["DELETE"], "api.example"),
    { ...open("/open/*", upstream.url), name: "open" },
  ],
});
const ask = (line: string, ...fields: string[]) =>
  RawClient.exchange(gateway.port, [`${line} HTTP/1.1`, "Content-Length: 0", ...fields].join("\r\n"));
const at = (line: string, host = "a") => ask(line, `Host: ${host}`);
const fieldOf = ({ headers }: RawResponse, wanted: string) =>
  headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
const code = ({ body }: RawResponse) => JSON.parse(body.toString()).code;

t.test("a path that is known, but not its method, is 405 with what it takes", async (t) => {
  const expected: Record<string, [host: string, allow: string]> = {
    "GET /v1/pay": ["a", "POST, OPTIONS"],
    "PROPFIND /V1/pay/": ["a", "POST, OPTIONS"],
    "POST /v1/orders/7": ["a", "PATCH, PUT, OPTIONS"],
    "GET /v1/orders/7?x": ["api.example", "DELETE, PATCH, PUT, OPTIONS"],
    "GET /v1/else": ["API.example:80", "DELETE, OPTIONS"],
  };
  for (const [line, [host, allow]] of Object.entries(expected)) {
    const response = await at(line, host);
    t.match([response.status, code(response), fieldOf(response, "allow")], [405, "method-not-allowed", allow], line);
  }
  for (const [line, host] of [
    ["GET /v1/else", "a"],
    ["POST /nowhere", "api.example"],
  ] as const) {
    const response = await at(line, host);
    t.match([response.status, code(response), fieldOf(response, "allow")], [404, "no-route", undefined], line);
  }
  const options = await at("OPTIONS /v1/pay");
  t.match([options.status, fieldOf(options, "allow")], [204, "POST, OPTIONS"]);
  t.equal(upstream.journal.length, 0);
});

t.test("an unprotected route takes every method that can be written", async (t) => {
  for (const method of ["PROPFIND", "MKCOL", "REPORT", "PURGE", "TRACE", "OPTIONS", "LOCK", "QUERY"]) {
    const response = await at(`${method} /open/x`);
    t.equal(response.status, 201, method);
    t.match(upstream.journal.at(-1), { method });
  }
});

t.test("the policy page and the readiness page go through the checks of every request", async (t) => {
  for (const page of ["/.well-known/idempotency", "/.well-known/idempotency/ready"]) {
    t.equal((await at(`GET ${page}`)).status, 200, page);
    t.equal((await at(`HEAD ${page}`)).status, 200);
    t.equal((await at(`GET ${page}?a=b`)).status, 200);
    for (const fields of [
      [],
      ["Host: a", "Host: b"],
      ["Host: a", "Content_Length: 5"],
      ["Host: a", "Content-Length: 0"],
    ]) {
      const response = await ask(`GET ${page}`, ...fields);
      t.match([response.status, code(response)], [400, "request-ambiguous"], `${page} ${fields}`);
    }
    const posted = await at(`POST ${page}`);
    t.match([posted.status, fieldOf(posted, "allow")], [405, "GET, HEAD, OPTIONS"]);
    t.equal((await ask(`GET ${page}`, "Host: a", "Transfer-Encoding: gzip")).status, 400);
  }
});

t.test("the traffic port says what /readyz says", async (t) => {
  const ready = await at("GET /.well-known/idempotency/ready");
  t.same(JSON.parse(ready.body.toString()), { state: "ready", checks: { store: "up", draining: false } });
  t.equal(fieldOf(ready, "cache-control"), "no-store");
  gateway.readiness.draining = () => true;
  const draining = await at("GET /.well-known/idempotency/ready");
  t.match([draining.status, JSON.parse(draining.body.toString()).state], [503, "draining"]);
});
