import t from "tap";
import { post } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { answer, type Entry, Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";

// How requests are read, which of them are refused, and what upstreams get of the others.

const upstream = await Upstream.start(t);
const idempotency = { scope: ["header:X-Tenant?"], key: { from: "header:Idempotency-Key", required: false } };
const gateway = await SampleGateway.start(t, {
  routes: [
    guarded("/pay", upstream.url),
    guarded("/v1/orders/:id", upstream.url, { scope: ["header:x-tenant?"], fingerprint: { headers: ["x-version"] } }),
    guarded("/optional", upstream.url, idempotency),
    guarded("/hidden", upstream.url, { key: { from: ["header:X-Key", "query:key"], forward: false } }),
    guarded("/own-host", upstream.url, {}, { preserveHost: false }),
    open("/files/*", upstream.url, {}, { ambiguousPaths: "forward" }),
    open("/*", upstream.url),
  ],
});
const { port, url } = gateway;
const host = `Host: 127.0.0.1:${port}`;

const codeOf = (body: Buffer) => (body.length === 0 ? undefined : JSON.parse(body.toString()).code);

t.test("a request that two servers may read differently is refused, and nothing is claimed or sent", async (t) => {
  const claims: string[] = [];
  gateway.trouble.asked = (verb) => claims.push(verb);
  const before = upstream.journal.length;
  const line = "POST /pay HTTP/1.1";
  const key = "Idempotency-Key: k";
  const empty = "Content-Length: 0";
  const heads: Record<string, string[]> = {
    "two different Hosts": [line, host, "Host: other", key, empty],
    "an empty Host": [line, "Host:", key, empty],
    "a list of Hosts": [line, "Host: a, b", key, empty],
    "a Host with a path": [line, "Host: a/b", key, empty],
    "no Host in HTTP/1.0": ["POST /pay HTTP/1.0", key, empty],
    "two lengths": [line, host, key, empty, empty],
    "a length with a sign": [line, host, key, "Content-Length: +0"],
    "a length that is none": [line, host, key, "Content-Length: 0x0"],
    "chunked in HTTP/1.0": ["POST /pay HTTP/1.0", host, key, "Transfer-Encoding: chunked"],
    "chunked twice": [line, host, key, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "chunked and more": [line, host, key, "Transfer-Encoding: chunked, identity"],
    identity: [line, host, key, "Transfer-Encoding: identity", empty],
    "a field name with a space": [line, host, key, "Bad Name: 1", empty],
    "a space before the colon": [line, host, "Idempotency-Key : k", empty],
    "a folded field": [line, host, key, "X-A: 1\r\n 2", empty],
    "a bare CR": [line, host, key, "X-A: 1\r2", empty],
    "a NUL": [line, host, key, "X-A: 1\x002", empty],
    "HTTP/2 in clear": ["POST /pay HTTP/2.0", host, key, empty],
    "HTTP/0.9": ["POST /pay"],
    "a dot segment": ["POST /x/../pay HTTP/1.1", host, key, empty],
    "a dot segment with parameters": ["POST /x/..;v/pay HTTP/1.1", host, key, empty],
    "a dot segment at the end": ["POST /pay/. HTTP/1.1", host, key, empty],
    "half an encoded dot segment": ["POST /x/.%2E/pay HTTP/1.1", host, key, empty],
    "a doubly encoded dot segment": ["POST /x/%252e%252e/pay HTTP/1.1", host, key, empty],
    "an empty segment": ["POST //pay HTTP/1.1", host, key, empty],
    "an encoded slash": ["POST /%2fpay HTTP/1.1", host, key, empty],
    "an encoded backslash": ["POST /%5Cpay HTTP/1.1", host, key, empty],
    "a backslash": ["POST \\pay HTTP/1.1", host, key, empty],
    "an encoded NUL": ["POST /pay%00 HTTP/1.1", host, key, empty],
    "an encoded line end on an unprotected route": ["POST /elsewhere%0d%0aX HTTP/1.1", host, key, empty],
    "an encoded tab on an unprotected route": ["POST /elsewhere%09 HTTP/1.1", host, key, empty],
    "half an escape": ["POST /pay%2 HTTP/1.1", host, key, empty],
    "a fragment": ["POST /pay#a HTTP/1.1", host, key, empty],
    "a fragment in the query": ["POST /pay?a#b HTTP/1.1", host, key, empty],
    "no slash": ["POST pay HTTP/1.1", host, key, empty],
    "another port": [`POST http://127.0.0.1:1/pay HTTP/1.1`, host, key, empty],
    "somebody's password": [`POST http://u:p@127.0.0.1:${port}/pay HTTP/1.1`, host, key, empty],
    "Connection names the key": [line, host, key, "Connection: close, IDEMPOTENCY-KEY", empty],
    "Connection names the scope": [line, host, key, "Connection: Authorization", empty],
    "Connection names what is compared": ["POST /v1/orders/1 HTTP/1.1", host, key, "Connection: x-version", empty],
    "Connection names an override": [line, host, key, "Connection: x-http-method-override", empty],
    "a twin of the key": [line, host, key, "Idempotency_Key: other", empty],
    "a twin of the scope": ["POST /v1/orders/1 HTTP/1.1", host, key, "X_Tenant: b", empty],
    "a twin of what is compared": ["POST /v1/orders/1 HTTP/1.1", host, key, "x_Version: b", empty],
    "a twin of the length": [line, host, key, "Content_Length: 5", empty],
    "a twin of the coding by another character": [line, host, key, "Transfer!Encoding: chunked", empty],
    "a twin of the key by two characters": [line, host, key, "Idempotency..Key: other", empty],
    "a twin of the coding": [line, host, key, "Transfer_Encoding: chunked", empty],
    "a twin of who asked": [line, host, key, "X_Forwarded_For: 10.0.0.1", empty],
    "a twin of an override": [line, host, key, "X_HTTP_Method_Override: DELETE", empty],
  };
  for (const [name, head] of Object.entries(heads)) {
    const response = await RawClient.exchange(port, head.join("\r\n"));
    t.match([response.status, codeOf(response.body)], [400, "request-ambiguous"], name);
  }
  t.equal(upstream.journal.length, before);
  t.same(claims, []);
});

t.test("no spelling that any upstream could take for a protected path gets past it", async (t) => {
  const before = upstream.journal.length;
  const refused = ["key-missing", "request-ambiguous"];
  const spellings = [
    "/pay",
    "/pay?",
    "/pay/",
    "/PAY",
    "/p%61y",
    "/%70%61%79",
    "/pay;v=1",
    "/pay;",
    "/pay%3bv=1",
    "/pay.",
    "/pay%20",
    "/pay%2e",
    "/pay%09",
    "/%2570ay",
    "/pay%252f",
    "/pay%2f",
    "/./pay",
    "//pay",
    "/x/..%2fpay",
    "/%c0%ae%c0%ae/pay",
    "/pay%c0%af",
    "/x\\..\\pay",
    "/files/%2e%2e/pay",
    "/files/..%5cpay",
    "/files/..;/pay",
    "/pay%3Fx",
    "/pay%23x",
    "/pay%253Fx",
    "/pay/%3F",
    "/pay%20HTTP/1.1%0d%0aX:%20y",
    "/pay%20x",
    "/%20pay",
    "/pay.json",
    "/pay%2ejson",
    "/pay%252ejson",
    "/v1/orders%2f7",
    "/v1//orders/7",
    `http://127.0.0.1:${port}/pay`,
    "/V1/Orders/7",
    "/v1/orders/7/",
    "/v1/%6frders/7",
  ];
  for (const target of spellings) {
    const response = await RawClient.exchange(port, `POST ${target} HTTP/1.1\r\n${host}\r\nContent-Length: 0`);
    t.ok(refused.includes(codeOf(response.body)), `${target}: ${response.status} ${codeOf(response.body)}`);
  }
  t.equal(upstream.journal.length, before);
});

t.test("a route that protects only what has a key passes ambiguous paths on without one", async (t) => {
  const all = { name: "all", match: { path: "/*" }, upstream: { url: upstream.url }, idempotency };
  const { port } = await SampleGateway.start(t, { routes: [all] });
  const send = (target: string, ...more: string[]) =>
    RawClient.exchange(port, [`POST ${target} HTTP/1.1`, "Host: a", "Content-Length: 0", ...more].join("\r\n"));
  for (const target of ["/a%2fb", "/a//b", "/a%5Cb"]) {
    t.equal((await send(target)).status, 201, target);
    t.equal(upstream.journal.at(-1)?.target, target);
    t.match(codeOf((await send(target, "Idempotency-Key: k")).body), "request-ambiguous", `${target} with a key`);
  }
});

t.test("where the route says so, unprotected paths may be ambiguous; dot segments never", async (t) => {
  for (const target of ["/files/a%2fb", "/files//a", "/files/a%5Cb", "/files/%2f%2f"]) {
    const response = await RawClient.exchange(port, `PUT ${target} HTTP/1.1\r\n${host}\r\nContent-Length: 0`);
    t.equal(response.status, 201, target);
    t.equal(upstream.journal.at(-1)?.target, target, "and are forwarded as they are");
  }
  for (const target of ["/files/%2e%2e/a", "/files/.%2fa", "/files/..", "/files/a/..;x/b"]) {
    const response = await RawClient.exchange(port, `PUT ${target} HTTP/1.1\r\n${host}\r\nContent-Length: 0`);
    t.equal(response.status, 400, target);
  }
});

t.test("a method override makes a request unsafe, whatever its method, and is part of what is compared", async (t) => {
  const send = (method: string, override: string, ...more: string[]) =>
    RawClient.exchange(port, [`${method} /pay HTTP/1.1`, host, override, ...more, "Content-Length: 0"].join("\r\n"));
  for (const name of ["X-HTTP-Method-Override", "X-Http-Method", "x-method-override"]) {
    for (const method of ["GET", "PUT"]) {
      const response = await send(method, `${name}: POST`);
      t.match([response.status, codeOf(response.body)], [400, "key-missing"], `${method} ${name}`);
    }
  }
  t.equal((await send("POST", "X-HTTP-Method-Override: DELETE", "Idempotency-Key: over")).status, 201);
  const other = await send("POST", "X-HTTP-Method-Override: PUT", "Idempotency-Key: over");
  t.match([other.status, codeOf(other.body)], [422, "key-reused"]);
});

t.test("the target and the method reach the upstream as they came", async (t) => {
  const targets = ["/pay?a=1&a=2&%20&=&?", "/p%61y/;v=1?x", "/v1/orders/a%20b%E9?q=%zz"];
  for (const target of targets) {
    const head = `POST ${target} HTTP/1.1\r\n${host}\r\nIdempotency-Key: t-${targets.indexOf(target)}\r\nContent-Length: 0`;
    t.equal((await RawClient.exchange(port, head)).status, 201, target);
    t.match(upstream.journal.at(-1), { target, method: "POST" });
  }
  const absolute = `POST http://127.0.0.1:${port}/pay?abs HTTP/1.1\r\n${host}\r\nIdempotency-Key: abs\r\nContent-Length: 0`;
  t.equal((await RawClient.exchange(port, absolute)).status, 201);
  t.equal(upstream.journal.at(-1)?.target, "/pay?abs", "an absolute form that names us is made an origin form");
});

const fieldsOf = (entry: Entry | undefined, name: string) =>
  entry?.headers.filter(([known]) => known.toLowerCase() === name).map(([, value]) => value);

for (const path of ["/pay", "/bare"]) {
  t.test(
    `${path}: Expect, hop-by-hop fields and what they list stay here; bodies keep what describes them`,
    async (t) => {
      const fields = [
        "Expect: 100-continue",
        "Connection: keep-alive, X-Hop, content-type, cookie",
        "X-Hop: 1",
        "Cookie: c=1",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eA==",
        "TE: trailers",
        "Trailer: X-Sum",
        "Content-Type: application/json; charset=x",
        "Content-Encoding: gzip",
        "Content-Length: 2",
      ];
      const client = await RawClient.connect(port);
      client.write([`POST ${path} HTTP/1.1`, host, "Idempotency-Key: hop", ...fields, "", ""].join("\r\n"));
      t.equal((await client.head()).status, 100);
      client.write("{}");
      t.equal((await client.response()).status, 201);
      client.hangUp();
      const entry = upstream.entries(path).at(-1);
      const names = entry?.headers.map(([name]) => name.toLowerCase()) ?? [];
      for (const name of [
        "expect",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
      ]) {
        t.notOk(names.includes(name), name);
      }
      t.same(fieldsOf(entry, "content-type"), ["application/json; charset=x"]);
      t.same(fieldsOf(entry, "content-encoding"), ["gzip"]);
      t.same(fieldsOf(entry, "content-length"), ["2"]);
      t.same(fieldsOf(entry, "cookie"), ["c=1"]);
      t.equal(entry?.body.toString(), "{}");
    },
  );

  t.test(`${path}: a body of no octets stays one`, async (t) => {
    for (const framing of ["Content-Length: 0", "Transfer-Encoding: chunked"]) {
      const body = framing.startsWith("T") ? "0\r\n\r\n" : "";
      const head = `POST ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: e-${framing.length}\r\n${framing}`;
      t.equal((await RawClient.exchange(port, head, body)).status, 201);
      t.equal(upstream.entries(path).at(-1)?.body.length, 0);
    }
  });

  t.test(`${path}: what an untrusted client says of its way here is replaced`, async (t) => {
    const lies = [
      "X-Forwarded-For: 1.2.3.4",
      "X-Forwarded-Proto: https",
      "X-Forwarded-Host: evil",
      "Forwarded: for=1.2.3.4",
      "X-Real-IP: 1.2.3.4",
      "X-Original-URL: /admin",
    ];
    const head = [`POST ${path} HTTP/1.1`, host, `Idempotency-Key: lies`, ...lies, ...lies, "Content-Length: 0"];
    t.equal((await RawClient.exchange(port, head.join("\r\n"))).status, 201);
    const entry = upstream.entries(path).at(-1);
    t.same(fieldsOf(entry, "x-forwarded-for"), ["127.0.0.1"]);
    t.same(fieldsOf(entry, "x-forwarded-proto"), ["http"]);
    t.same(fieldsOf(entry, "x-forwarded-host"), [`127.0.0.1:${port}`]);
    for (const name of ["forwarded", "x-real-ip", "x-original-url"]) t.same(fieldsOf(entry, name), [], name);
  });

  t.test(`${path}: a trace is joined, or begun`, async (t) => {
    const send = async (at: number, ...fields: string[]) => {
      const head = [`POST ${path} HTTP/1.1`, host, `Idempotency-Key: trace-${at}`, ...fields, "Content-Length: 0"];
      t.equal((await RawClient.exchange(port, head.join("\r\n"))).status, 201);
      return upstream.entries(path).at(-1);
    };
    const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const joined = await send(1, `traceparent: ${parent}`, "tracestate: a=1,b=2");
    t.same([fieldsOf(joined, "traceparent"), fieldsOf(joined, "tracestate")], [[parent], ["a=1,b=2"]]);
    await gateway.until("the log line has it", () =>
      gateway.seen("request").some((event) => event.traceparent === parent),
    );
    const begun = await send(2);
    const own = fieldsOf(begun, "traceparent") ?? [];
    t.equal(own.length, 1);
    t.match(own[0], /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    t.not(own[0], fieldsOf(await send(3), "traceparent")?.[0]);
    const bad = await send(
      4,
      "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01",
      "tracestate: a=1",
    );
    t.match(fieldsOf(bad, "traceparent"), [/^00-[0-9a-f]{32}-/]);
    t.same(fieldsOf(bad, "tracestate"), []);
  });
}

t.test("a trusted proxy's word is kept, and added to", async (t) => {
  const words = [
    "X-Forwarded-For: 1.2.3.4",
    "X-Forwarded-For: 5.6.7.8",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: api.example",
    "Forwarded: for=1.2.3.4",
  ];
  for (const trustProxy of [true, ["127.0.0.0/8"], ["10.0.0.0/8"]]) {
    const routes = [open("/*", upstream.url)];
    const behind = await SampleGateway.start(t, { server: { trustProxy }, routes });
    const head = ["POST /trusted HTTP/1.1", host, ...words, "Content-Length: 0"].join("\r\n");
    t.equal((await RawClient.exchange(behind.port, head)).status, 201);
    const entry = upstream.entries("/trusted").at(-1);
    const isTrusted = JSON.stringify(trustProxy) !== `["10.0.0.0/8"]`;
    t.same(fieldsOf(entry, "x-forwarded-for"), [isTrusted ? "1.2.3.4, 5.6.7.8, 127.0.0.1" : "127.0.0.1"]);
    t.same(fieldsOf(entry, "x-forwarded-proto"), [isTrusted ? "https" : "http"]);
    t.same(fieldsOf(entry, "x-forwarded-host"), [isTrusted ? "api.example" : `127.0.0.1:${port}`]);
    t.same(fieldsOf(entry, "forwarded"), isTrusted ? ["for=1.2.3.4"] : []);
  }
});

t.test("Host is the client's, or the upstream's where the route says so", async (t) => {
  for (const [path, expected] of [
    ["/pay", "api.example:8443"],
    ["/bare", "api.example:8443"],
    ["/own-host", `127.0.0.1:${upstream.port}`],
  ] as const) {
    const head = `POST ${path} HTTP/1.1\r\nHost: api.example:8443\r\nIdempotency-Key: host\r\nContent-Length: 0`;
    t.equal((await RawClient.exchange(port, head)).status, 201);
    t.same(fieldsOf(upstream.entries(path).at(-1), "host"), [expected], path);
  }
});

t.test("a key that is not to be forwarded is taken out of header and query, and nothing else is", async (t) => {
  const head = `POST /hidden?a=%20&key=2&k%65y2=1&b HTTP/1.1\r\n${host}\r\nX-Key: 1\r\nX-Key2: 1\r\nContent-Length: 0`;
  t.equal((await RawClient.exchange(port, head)).status, 201);
  const entry = upstream.entries("/hidden").at(-1);
  t.equal(entry?.target, "/hidden?a=%20&k%65y2=1&b");
  t.same([fieldsOf(entry, "x-key"), fieldsOf(entry, "x-key2")], [[], ["1"]]);
  t.match(await post(`${url}/hidden?a=%20&key=2&k%65y2=1&b`, { headers: { "x-key": "1", "x-key2": "1" } }), {
    status: 201,
  });
});

t.test("without a key that is not required, a request of any size is streamed through, every time", async (t) => {
  upstream.on("/optional", answer(201, "ran"));
  const body = Buffer.alloc(3 * 1024 * 1024, "x");
  for (let turn = 1; turn <= 2; turn++) {
    t.match(await post(`${url}/optional`, { body }), { status: 201, text: "ran", isReplayed: false });
    t.equal(upstream.count("/optional"), turn);
  }
  t.match(await post(`${url}/optional`, { body, key: "with" }), { status: 413 });
  t.match(await post(`${url}/optional`, { body: "x", key: "" }), { status: 201 }, "as good as none");
  await gateway.quiet();
});
