import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import t from "tap";
import { sampleConfig, sampleRoute } from "../sample-config.js";
import { sampleAdmin, seed, unreachable } from "./sample-admin.js";

const token = "correct-horse-battery";
const withToken = { admin: { host: "0.0.0.0", port: 9090, token } };

t.test("a living process says so, and readiness follows the store's first answer and the drain", async (t) => {
  const { app, ready } = sampleAdmin();
  t.equal((await app.inject("/healthz")).statusCode, 200);

  Object.assign(ready, { storeAnswered: false, storeUp: false });
  const starting = await app.inject("/readyz");
  t.equal(starting.statusCode, 503);
  t.strictSame(starting.json(), { state: "starting", checks: { store: "starting", draining: false } });

  Object.assign(ready, { storeAnswered: true, storeUp: true });
  const up = await app.inject("/readyz");
  t.equal(up.statusCode, 200);
  t.strictSame(up.json(), { state: "ready", checks: { store: "up", draining: false } });

  Object.assign(ready, { storeUp: false });
  const outage = await app.inject("/readyz");
  t.equal(outage.statusCode, 200, "one outage does not take every replica out of service");
  t.equal(outage.json().checks.store, "down");

  Object.assign(ready, { storeUp: true, draining: true });
  const draining = await app.inject("/readyz");
  t.equal(draining.statusCode, 503);
  t.equal(draining.json().state, "draining");
  t.equal((await app.inject("/healthz")).statusCode, 200);
});

t.test("metrics are handed on as they are scraped", async (t) => {
  const answer = await sampleAdmin().app.inject("/metrics");
  t.equal(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  t.equal(answer.body, "sample_total 1\n");
});

t.test("the routes in force are shown with their upstreams, without a secret, and follow a reload", async (t) => {
  const probe = {
    method: "GET",
    url: "http://user:hunter2@probe.internal:3000/by-key/{key}?api_key=hunter2",
    done: new Set([200]),
    notDone: new Set([404]),
  };
  const sample = sampleAdmin({ routes: [sampleRoute("pay", { inDoubt: "probe", probe }), sampleRoute("rest", null)] });
  const answer = await sample.app.inject("/v1/routes");
  t.notMatch(answer.body, "hunter2");
  const [pay, rest] = answer.json().routes;
  t.match(pay, {
    name: "pay",
    match: { methods: ["POST"], host: "api.example.com", path: "/v1/pay" },
    upstream: { url: "http://upstream.internal:3000", timeout: "30s" },
    idempotency: {
      key: { from: ["header:Idempotency-Key"], required: true, maxLength: 255 },
      scope: ["client"],
      retention: "1d",
      lease: "15s",
      outcomes: { when: [], release: [401, 503], unknown: [502, 504] },
      inDoubt: "probe",
      probe: { method: "GET", done: [200], notDone: [404] },
    },
  });
  t.equal(rest.idempotency, null);

  sample.config = sampleConfig({ routes: [] });
  t.strictSame((await sample.app.inject("/v1/routes")).json(), { routes: [] });
});

t.test("the front page is the console, and names the endpoints; whoever wants plain text gets a list", async (t) => {
  const { app } = sampleAdmin();
  const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
  for (const accept of [undefined, "*/*", browser, "text/plain"]) {
    const answer = await app.inject({ url: "/", headers: accept === undefined ? {} : { accept } });
    t.equal(answer.statusCode, 200);
    t.match(answer.headers["content-type"], accept === "text/plain" ? "text/plain" : "text/html");
    t.equal(answer.headers.vary, "Accept");
    t.equal(answer.headers["cache-control"], "no-store");
    for (const path of ["/healthz", "/readyz", "/metrics", "/v1/routes", "/v1/records"]) t.match(answer.body, path);
  }
});

t.test("the console loads nothing that this port does not serve, and runs nothing but its own files", async (t) => {
  const { app } = sampleAdmin();
  const page = await app.inject("/");
  const policy = String(page.headers["content-security-policy"]).split("; ");
  for (const part of ["default-src 'none'", "script-src 'self'", "form-action 'none'", "frame-ancestors 'none'"]) {
    t.ok(policy.includes(part), part);
  }
  t.notMatch(page.headers["content-security-policy"], /unsafe|https?:|data:|\*/);
  t.equal(page.headers["referrer-policy"], "no-referrer");
  t.equal(page.headers["cross-origin-resource-policy"], "same-origin");
  const named = [...page.body.matchAll(/(?:src|href)="(console\/[^"]+)"/g)].map(([, path]) => path as string);
  t.ok(named.length >= 3);
  const seen = new Set<string>();
  for (const path of named) {
    if (seen.has(path)) continue;
    seen.add(path);
    const answer = await app.inject(`/${path}`);
    t.equal(answer.statusCode, 200, path);
    t.equal(answer.headers["x-content-type-options"], "nosniff");
    t.notMatch(
      answer.body,
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?:\/\/(?!www\.w3\.org)/,
      path,
    );
    for (const [, next] of answer.body.matchAll(/from "\.\/([^"]+)"/g)) named.push(`console/${next}`);
    const again = await app.inject({ url: `/${path}`, headers: { "if-none-match": String(answer.headers.etag) } });
    t.equal(again.statusCode, 304);
  }
  t.ok(seen.size >= 12, "the modules are followed");
  for (const path of ["console/../server.js", "console/%2e%2e/server.js", "console/index.html", "console/app.ts"]) {
    t.equal((await app.inject(`/${path}`)).statusCode, 404, path);
  }
});

t.test("every error is a problem document", async (t) => {
  const { app } = sampleAdmin();
  const json = { "content-type": "application/json" };
  const id = "a".repeat(64);
  const cases = [
    [{ url: "/nowhere" }, 404, "not-found"],
    [{ url: "/v1/records/xyz" }, 404, "not-found"],
    [{ url: `/v1/records/${id}` }, 404, "not-found"],
    [{ url: "/v1/records?limit=0" }, 400, "request-invalid"],
    [{ url: "/v1/%zz" }, 400, "request-invalid"],
    [{ method: "DELETE", url: "/v1/records" }, 405, "method-not-allowed"],
    [{ method: "POST", url: `/v1/records/${id}/resolve`, headers: json, payload: "{" }, 400, "request-invalid"],
    [{ method: "POST", url: `/v1/records/${id}/resolve`, payload: "text" }, 400, "request-invalid"],
    [
      { method: "POST", url: `/v1/records/${id}/resolve`, headers: json, payload: `"${"x".repeat(17 * 1024 * 1024)}"` },
      413,
      "body-too-large",
    ],
  ] as const;
  for (const [request, status, code] of cases) {
    const answer = await app.inject(request);
    const title = `${"method" in request ? request.method : "GET"} ${request.url}`;
    t.equal(answer.statusCode, status, title);
    t.equal(answer.headers["content-type"], "application/problem+json", title);
    t.equal(answer.headers["cache-control"], "no-store", title);
    const document = answer.json();
    t.match(document, { code, status, type: `urn:idempotency-gateway:problem:${code}`, instance: /^urn:uuid:/ }, title);
    t.match(document.error, { type: "idempotency_error", code });
  }
});

t.test("a wrong method is told the right ones", async (t) => {
  const { app } = sampleAdmin();
  const id = "a".repeat(64);
  const allowOf = async (method: "PUT" | "GET" | "OPTIONS" | "POST", url: string) => {
    const answer = await app.inject({ method, url });
    t.equal(answer.statusCode, 405, `${method} ${url}`);
    return answer.headers.allow;
  };
  t.equal(await allowOf("PUT", `/v1/records/${id}?body=true`), "GET, HEAD, DELETE");
  t.equal(await allowOf("GET", `/v1/records/${id}/resolve`), "POST");
  t.equal(await allowOf("OPTIONS", "/v1/routes"), "GET, HEAD");
  t.equal(await allowOf("POST", "/"), "GET, HEAD");
});

t.test("a store that cannot be reached is a 503, and the write is in the audit", async (t) => {
  const { app, audits } = sampleAdmin({}, unreachable);
  const id = "a".repeat(64);
  for (const url of ["/v1/records", `/v1/records/${id}`]) {
    const answer = await app.inject(url);
    t.equal(answer.statusCode, 503);
    t.equal(answer.json().code, "store-unavailable");
    t.equal(answer.headers["retry-after"], "1");
  }
  t.equal((await app.inject({ method: "DELETE", url: `/v1/records/${id}` })).statusCode, 503);
  t.strictSame(audits, [{ who: "local", action: "delete", key: "aaaaaaaa", result: "unanswered" }]);
});

t.test("a fault of our own says nothing of itself to the client, and all to the log", async (t) => {
  const { app, faults } = sampleAdmin({}, (store) => {
    store.list = () => Promise.reject(new TypeError("secret internals"));
    return store;
  });
  const answer = await app.inject("/v1/records");
  t.equal(answer.statusCode, 500);
  t.equal(answer.json().code, "internal");
  t.notMatch(answer.body, "secret internals");
  t.match(faults, [{ what: "the admin port failed", error: { message: "secret internals" } }]);
});

t.test("with a token set, everything but health, metrics and the console's own files needs it", async (t) => {
  const { app, store } = sampleAdmin(withToken);
  const id = await seed(store, "completed");
  for (const url of ["/healthz", "/readyz", "/metrics"]) t.equal((await app.inject(url)).statusCode, 200, url);
  const guarded = [
    "/",
    "/v1/live",
    "/v1/routes",
    `/v1/records/${id}/timeline`,
    "/console/nothing.js",
    "/v1/records",
    `/v1/records/${id}`,
    "/nowhere",
    "/healthz/../v1/routes",
  ];
  const wrong = [
    undefined,
    "",
    "Bearer",
    "Bearer ",
    `Bearer ${token}x`,
    `Bearer ${token.slice(1)}`,
    `Basic ${Buffer.from(token).toString("base64")}`,
    token,
  ];
  for (const url of guarded) {
    for (const authorization of wrong) {
      const headers = authorization === undefined ? {} : { authorization };
      const answer = await app.inject({ url, headers });
      t.equal(answer.statusCode, 401, `${url} ${authorization}`);
      t.equal(answer.headers["www-authenticate"], "Bearer");
      t.equal(answer.json().code, "unauthorized");
    }
  }
  const refused = await app.inject({ method: "DELETE", url: `/v1/records/${id}` });
  t.equal(refused.statusCode, 401);
  // A browser that follows a link cannot send it: it gets the page, which has nothing in it, and asks.
  const html = { accept: "text/html" };
  const page = await app.inject({ url: "/", headers: html });
  t.equal(page.statusCode, 200);
  t.notMatch(page.body, token);
  t.equal(page.body, (await sampleAdmin().app.inject("/")).body, "the same for everybody");
  t.equal((await app.inject("/console/app.js")).statusCode, 200);
  t.equal((await app.inject({ url: "/v1/records", headers: html })).statusCode, 401, "only the page");
  t.equal((await app.inject({ url: "/", headers: { authorization: `Bearer ${token}` } })).statusCode, 200);
  for (const scheme of ["Bearer", "bearer"]) {
    const answer = await app.inject({ url: `/v1/records/${id}`, headers: { authorization: `${scheme} ${token}` } });
    t.equal(answer.statusCode, 200, "the record is still there");
  }
});

t.test("a token that a reload brought is asked for from then on", async (t) => {
  const sample = sampleAdmin();
  t.equal((await sample.app.inject("/v1/routes")).statusCode, 200);
  sample.config = sampleConfig(withToken);
  t.equal((await sample.app.inject("/v1/routes")).statusCode, 401);
});

t.test("without a token, a name that a foreign page could have is not answered", async (t) => {
  const { app } = sampleAdmin();
  const statusFor = async (host: string, url = "/v1/records") =>
    (await app.inject({ url, headers: { host } })).statusCode;
  for (const host of ["evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example", "gateway", "[::1"]) {
    t.equal(await statusFor(host), 403, host);
  }
  for (const host of ["localhost:9090", "LOCALHOST", "app.localhost", "127.0.0.1:9090", "10.1.2.3", "[::1]:9090"]) {
    t.equal(await statusFor(host), 200, host);
  }
  for (const url of ["/healthz", "/readyz", "/metrics"]) t.equal(await statusFor("gateway:9090", url), 200, url);

  const guarded = sampleAdmin(withToken).app;
  const headers = { host: "admin.example.com", authorization: `Bearer ${token}` };
  t.equal((await guarded.inject({ url: "/v1/records", headers })).statusCode, 200, "with a token any name will do");
});

t.test("records are not changed for a page of another site", async (t) => {
  const { app, store } = sampleAdmin();
  const id = await seed(store, "completed");
  const host = "localhost:9090";
  const remove = async (headers: Record<string, string>, target = id) =>
    (await app.inject({ method: "DELETE", url: `/v1/records/${target}`, headers: { host, ...headers } })).statusCode;
  t.equal(await remove({ origin: "https://evil.example" }), 403);
  t.equal(await remove({ origin: "null" }), 403);
  t.equal(await remove({ origin: "http://localhost:8080" }), 403, "another port is another origin");
  t.equal(await remove({ "sec-fetch-site": "cross-site" }), 403);
  t.equal(await remove({ "sec-fetch-site": "same-site", origin: `http://${host}` }), 403);
  t.ok(await store.peek(id as never, false), "the record is still there");
  t.equal(
    (await app.inject({ url: "/v1/records", headers: { host, origin: "https://evil.example" } })).statusCode,
    200,
  );

  t.equal(await remove({ origin: `http://${host}` }), 204);
  t.equal(
    await remove({ "sec-fetch-site": "same-origin", origin: `http://${host}` }, await seed(store, "completed")),
    204,
  );
});

t.test("an HTTP/1.0 client without a host is nobody's browser", async (t) => {
  const { app } = sampleAdmin();
  await app.listen({ host: "127.0.0.1", port: 0 });
  t.teardown(() => app.close());
  const socket = connect((app.server.address() as AddressInfo).port, "127.0.0.1");
  socket.end("GET /v1/routes HTTP/1.0\r\n\r\n");
  let answer = "";
  for await (const chunk of socket) answer += chunk;
  t.match(answer, /^HTTP\/1\.1 200 /);
});
