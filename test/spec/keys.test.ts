import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import t from "tap";
import { headerOf, post, type Request } from "../e2e/client.js";
import { answer, Upstream } from "../e2e/upstream.js";
import { guarded, SampleGateway } from "./gateway.js";

// Whose key it is, which key, and what is equal: by what goes over the wire alone.

const upstream = await Upstream.start(t);
const form = (name: string) => ({ key: { from: `form:${name}` }, fingerprint: { body: "none" } });
const gateway = await SampleGateway.start(t, {
  server: { limits: { requestBody: "64KiB" } },
  routes: [
    guarded("/pay", upstream.url),
    guarded("/explicit", upstream.url, { scope: ["header:authorization"] }),
    guarded("/one-client", upstream.url, { scope: [] }),
    guarded("/by-tenant", upstream.url, { scope: ["header:x-tenant?"] }),
    guarded("/by-host", upstream.url, { scope: ["host"] }),
    guarded("/optional", upstream.url, { key: { required: false } }),
    guarded("/cookie", upstream.url, { key: { from: "cookie:sid" }, scope: ["cookie:user?"] }),
    guarded("/form", upstream.url, form("txn_id")),
    guarded("/first", upstream.url, {
      key: { from: { firstOf: ["header:idempotency-key", "header:x-request-key", "query:key", "body:/id"] } },
      fingerprint: { body: "none" },
    }),
    guarded("/json", upstream.url, { fingerprint: { body: "json" }, key: { from: "body:/id" } }),
    guarded("/query", upstream.url, { fingerprint: { query: { ignore: ["ts", "sig"] } } }),
    guarded("/aged", upstream.url, { key: { maxAge: "1h" }, retention: "1h" }),
    guarded("/born", upstream.url, { key: { maxAge: "1h", bornFrom: "header:X-Born" }, retention: "1h" }),
    guarded("/things/:id", upstream.url),
  ],
});
const { url } = gateway;
let made = 0;
const fresh = () => `key-${++made}-of-this-run`;
const reused = { status: 422, code: "key-reused" };

/** Whether the second of two requests was answered by the record of the first. */
async function meet(path: string, first: Request, second: Request): Promise<boolean> {
  const key = fresh();
  const one = await post(url + path, { key, body: "{}", ...first });
  const two = await post(url + path, { key, body: "{}", ...second });
  t.equal(one.isReplayed, false, path);
  return two.isReplayed && headerValueOf(one, "idempotency-record") === headerValueOf(two, "idempotency-record");
}

function headerValueOf(reply: Awaited<ReturnType<typeof post>>, name: string): string | undefined {
  return reply.headers.find(([one]) => one.toLowerCase() === name)?.[1];
}

t.test("what is new in each attempt of a signing scheme is no part of who asks (F04)", async (t) => {
  const aws = (id: string, signature: string, day = "20260101") =>
    `AWS4-HMAC-SHA256 Credential=${id}/${day}/eu-west-1/execute-api/aws4_request, SignedHeaders=host;x-amz-date, Signature=${signature}`;
  const pairs: readonly (readonly [same: string, again: string, other: string])[] = [
    [aws("AKID1", "a"), aws("AKID1", "b", "20260102"), aws("AKID2", "a")],
    [
      'Digest username="ann", realm="r", nonce="1", uri="/", response="x", nc=00000001, cnonce="q"',
      'Digest username="ann", realm="r", nonce="2", uri="/", response="y", nc=00000002, cnonce="p"',
      'Digest username="bob", realm="r", nonce="1", uri="/", response="x", nc=00000001, cnonce="q"',
    ],
    [
      'Hawk id="a", ts="1", nonce="x", mac="m1="',
      'Hawk id="a", ts="2", nonce="y", mac="m2="',
      'Hawk id="b", ts="1", nonce="x", mac="m1="',
    ],
    [
      'OAuth oauth_consumer_key="c", oauth_token="t", oauth_nonce="1", oauth_timestamp="1", oauth_signature="a"',
      'OAuth oauth_nonce="2", oauth_timestamp="2", oauth_consumer_key="c", oauth_token="t", oauth_signature="b"',
      'OAuth oauth_consumer_key="c", oauth_token="u", oauth_nonce="1", oauth_timestamp="1", oauth_signature="a"',
    ],
    ['Signature keyId="k",signature="a"', 'Signature keyId="k",signature="b"', 'Signature keyId="l",signature="a"'],
    ["AWS AKID:aaaa", "AWS AKID:bbbb", "AWS OTHER:aaaa"],
  ];
  for (const path of ["/pay", "/explicit"]) {
    for (const [same, again, other] of pairs) {
      const authorization = (value: string) => ({ headers: { authorization: value } });
      t.ok(await meet(path, authorization(same), authorization(again)), `${path} ${same}`);
      t.notOk(await meet(path, authorization(same), authorization(other)), `${path} ${other}`);
    }
  }
  t.notOk(await meet("/pay", { headers: { authorization: "Bearer a" } }, { headers: { authorization: "Bearer b" } }));
  t.notOk(
    await meet("/pay", { headers: { authorization: "Basic YTpi" } }, { headers: { authorization: "Basic YTpj" } }),
  );
});

t.test("every known credential says who asks, and so does the host of a route for all hosts (F05, M5)", async (t) => {
  for (const name of ["X-API-Key", "Api-Key", "X-Auth-Token", "X-Access-Token", "Ocp-Apim-Subscription-Key", "Host"]) {
    t.notOk(await meet("/pay", { headers: { [name]: "a.test" } }, { headers: { [name]: "b.test" } }), name);
    t.ok(await meet("/pay", { headers: { [name]: "a.test" } }, { headers: { [name]: "a.test" } }), name);
  }
  t.ok(await meet("/pay", { headers: { host: "A.test:80" } }, { headers: { host: "a.TEST" } }), "one host");
  t.ok(
    await meet("/by-host", { headers: { host: "a.test:81" } }, { headers: { host: "a.test" } }),
    "whatever the port",
  );
  t.notOk(await meet("/by-host", { headers: { host: "a.test" } }, { headers: { host: "b.test" } }));
  const both = { "x-api-key": "1", authorization: "Bearer a" };
  t.ok(await meet("/pay", { headers: both }, { headers: { ...both, "x-api-key": "2" } }), "Authorization decides");
});

t.test("where only a cookie says who asks, it is counted, and no cookie is handed on (M5)", async (t) => {
  upstream.on("/pay", ({ response }) => response.writeHead(201, { "set-cookie": ["sid=1", "x=2"] }).end("paid"));
  upstream.on("/one-client", ({ response }) => response.writeHead(201, { "set-cookie": ["sid=1"] }).end("paid"));
  const before = gateway.seen("scopeUncertain").length;
  const cookies = async (path: string, headers: Record<string, string>) => {
    const request = { key: fresh(), headers };
    const own = await post(url + path, request);
    const again = await post(url + path, request);
    t.equal(again.isReplayed, true);
    return [own, again].map((reply) => reply.headers.filter(([name]) => name.toLowerCase() === "set-cookie").length);
  };
  t.same(await cookies("/pay", { cookie: "sid=ann" }), [2, 0]);
  t.equal(gateway.seen("scopeUncertain").length, before + 2);
  upstream.on("/by-tenant", ({ response }) => response.writeHead(201, { "set-cookie": "sid=1" }).end("paid"));
  t.same(await cookies("/by-tenant", {}), [1, 0], "the scope is nothing at all");
  t.same(await cookies("/by-tenant", { "x-tenant": "a" }), [1, 1]);
  t.same(await cookies("/pay", { authorization: "Bearer a" }), [2, 2]);
  t.same(await cookies("/one-client", {}), [1, 1], "the operator says that all clients are one");
  t.equal(gateway.seen("scopeUncertain").length, before + 2, "the others are certain");
  upstream.on("/pay", answer(201, "paid"));
});

t.test("a key is read from cookies and forms, and twice is once too often (F29)", async (t) => {
  const cookie = (value: string) => ({ headers: { cookie: value } });
  t.match(await post(`${url}/cookie`, cookie("a=1; sid=one-of-them; user=ann")), { status: 201, isReplayed: false });
  t.match(await post(`${url}/cookie`, cookie("user=ann;sid=one-of-them")), { status: 201, isReplayed: true });
  t.match(await post(`${url}/cookie`, cookie("user=bob; sid=one-of-them")), { isReplayed: false }, "another scope");
  t.match(await post(`${url}/cookie`, cookie("sid=a; sid=b")), { status: 400, code: "key-invalid" });
  t.match(await post(`${url}/cookie`, cookie("SID=a")), { status: 400, code: "key-missing" });
  const type = { "content-type": "application/x-www-form-urlencoded; charset=utf-8" };
  const send = (body: string, headers: Record<string, string> = type) => post(`${url}/form`, { body, headers });
  t.match(await send("a=1&txn_id=t%2D1"), { isReplayed: false });
  t.match(await send("txn_id=t-1&a=2"), { isReplayed: true });
  t.match(await send("txn_id=t-1&txn_id=t-1"), { status: 400, code: "key-invalid" });
  t.match(await send("txn_id=t-1", { "content-type": "text/plain" }), { status: 400, code: "key-missing" });
});

t.test("the first place that has it is the key, and it is one key wherever it stands (F25)", async (t) => {
  const key = fresh();
  const places: [path: string, request: Request][] = [
    ["/first", { headers: { "idempotency-key": key } }],
    ["/first", { headers: { "x-request-key": key, "idempotency-key": "" } }],
    [`/first?key=${key}`, {}],
    ["/first", { body: JSON.stringify({ id: key }) }],
    [`/first?key=${key}`, { headers: { "idempotency-key": key } }],
  ];
  for (const [at, [path, request]] of places.entries()) {
    t.match(await post(url + path, request), { status: 201, isReplayed: at > 0 }, `${path} ${JSON.stringify(request)}`);
  }
  t.match(await post(`${url}/first?key=other`, { key }), reused, "a parameter that says something else counts");
  t.match(await post(`${url}/first?key=a&key=a`, {}), { status: 400, code: "key-invalid" });
  t.match(await post(`${url}/first`, {}), { status: 400, code: "key-missing" });
});

t.test("a template that nothing was filled into is no key", async (t) => {
  const dollar = "$";
  const words = [
    "undefined",
    "null",
    "NULL",
    "NaN",
    "None",
    '"undefined"',
    "{{$guid}}",
    "order-{{id}}",
    `${dollar}{KEY}`,
    `a-${dollar}{b}`,
  ];
  for (const key of words) t.match(await post(`${url}/pay`, { key }), { status: 400, code: "key-invalid" }, key);
  t.match(await post(`${url}/pay`, { key: "[object Object]" }), { status: 400, code: "key-invalid" });
  for (const key of ["undefined-behaviour-1", "nullable", "{x}"])
    t.match(await post(`${url}/pay`, { key }), { status: 201 });
});

t.test("a key that cannot be used is forwarded, unprotected, where none is required (F24)", async (t) => {
  for (const key of ["order 42, line 7", "", "x".repeat(300), "undefined"]) {
    const before = gateway.seen("request").length;
    for (let i = 0; i < 2; i++)
      t.match(await post(`${url}/optional`, { key }), { status: 201, isReplayed: false }, key);
    await gateway.until("two lines", () => gateway.seen("request").length === before + 2);
    t.match(gateway.seen("request").slice(before), [{ result: "unprotected" }, { result: "unprotected" }]);
  }
});

t.test("one body in two codings is one body, for fingerprint, key and scope (F13)", async (t) => {
  const text = '{"id":"coded","amount":7}';
  const zipped = gzipSync(text);
  const later = Buffer.from(zipped);
  later.writeUInt32LE(1_700_000_000, 4);
  const coded = (body: Buffer, coding: string): Request => ({ body, headers: { "content-encoding": coding } });
  const codings = [
    coded(later, "gzip"),
    coded(later, "X-GZIP"),
    coded(deflateSync(text), "deflate"),
    coded(deflateRawSync(text), "deflate"),
    coded(brotliCompressSync(text), "br"),
    coded(gzipSync(brotliCompressSync(text)), "br, gzip"),
    { body: text },
  ];
  for (const path of ["/pay", "/json"]) {
    const key = fresh();
    const first = await post(url + path, { key, ...coded(zipped, "gzip") });
    t.match(first, { status: 201, isReplayed: false }, path);
    for (const one of codings) t.match(await post(url + path, { key, ...one }), { status: 201, isReplayed: true });
    t.match(
      await post(url + path, {
        key,
        body: gzipSync('{"id":"coded","amount":8}'),
        headers: { "content-encoding": "gzip" },
      }),
      reused,
    );
  }
  const seen = upstream.journal.filter(({ path }) => path === "/json").at(-1)!;
  t.same(seen.body, zipped, "what is forwarded stays as it came");
  t.equal(headerOf(seen, "content-encoding"), "gzip");
});

t.test("a coding that cannot be decoded is compared by its bytes, and refused where the key is in it", async (t) => {
  const key = fresh();
  const zstd = { body: Buffer.from("anything"), headers: { "content-encoding": "zstd" } };
  t.match(await post(`${url}/pay`, { key, ...zstd }), { status: 201, isReplayed: false });
  t.match(await post(`${url}/pay`, { key, ...zstd }), { status: 201, isReplayed: true });
  t.match(await post(`${url}/pay`, { key, ...zstd, body: "something" }), reused);
  t.match(await post(`${url}/json`, zstd), { status: 400, code: "key-invalid" });
  const broken = { body: gzipSync('{"id":"x"}').subarray(0, 15), headers: { "content-encoding": "gzip" } };
  t.match(await post(`${url}/json`, broken), { status: 400, code: "key-invalid" });
});

t.test("a body that unpacks beyond ten times the limit is too large, and nothing is claimed", async (t) => {
  const before = upstream.journal.length;
  for (const [coding, body] of [
    ["gzip", gzipSync(Buffer.alloc(700 * 1024))],
    ["br", brotliCompressSync(Buffer.alloc(700 * 1024))],
  ] as const) {
    const key = fresh();
    const reply = await post(`${url}/pay`, { key, body, headers: { "content-encoding": coding } });
    t.match(reply, { status: 413, code: "body-too-large" });
    t.match(headerValueOf(reply, "idempotency-record"), /^[0-9a-f]{16}$/);
  }
  t.equal(upstream.journal.length, before);
  await gateway.quiet();
});

t.test("another spelling of a path or a query is the same request", async (t) => {
  const same: [string, string][] = [
    ["/pay", "/p%61y"],
    ["/pay", "/PAY/"],
    ["/pay?a=1&b=2&b=3", "/pay?b=2&a=1&b=3"],
    ["/pay?a=%7E+x", "/pay?%61=~%20x"],
    ["/query?a=1&ts=1&sig=x", "/query?sig=y&ts=2&a=1"],
    ["/query?a=1", "/query?ts=1&a=1"],
  ];
  for (const [one, two] of same) {
    const key = fresh();
    t.match(await post(url + one, { key }), { isReplayed: false });
    t.match(await post(url + two, { key }), { status: 201, isReplayed: true }, two);
  }
  const others: [string, string][] = [
    ["/pay?b=2&b=3", "/pay?b=3&b=2"],
    ["/pay?a=1", "/pay?a=2"],
    ["/query?a=1&ts=1", "/query?a=2&ts=1"],
    ["/things/AbC", "/things/abc"],
  ];
  for (const [one, two] of others) {
    const key = fresh();
    t.match(await post(url + one, { key }), { isReplayed: false });
    t.match(await post(url + two, { key }), reused, two);
  }
});

t.test("a key that is too old begins no record, and still finds its own", async (t) => {
  const v7 = (atMs: number, end: string) => {
    const hex = Math.floor(atMs).toString(16).padStart(12, "0");
    return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-${end.padStart(12, "0")}`;
  };
  const hourMs = 3_600_000;
  const before = upstream.journal.length;
  const expired = { status: 410, code: "key-expired" };
  const old = await post(`${url}/aged`, { key: v7(Date.now() - 2 * hourMs, "1") });
  t.match(old, expired);
  t.equal(JSON.parse(old.text).retryable, false);
  t.match(headerValueOf(old, "idempotency-record"), /^[0-9a-f]{16}$/);
  t.match(await post(`${url}/aged`, { key: "00000000000000000000000000" }), expired, "a ULID of 1970");
  for (const key of [v7(Date.now() + hourMs, "2"), "plain", "018f3c5e-1111-4111-8111-111111111111"]) {
    t.match(await post(`${url}/aged`, { key }), { status: 400, code: "key-invalid" }, key);
  }
  t.equal(upstream.journal.length, before, "nothing of this was sent");
  t.match(await post(`${url}/aged`, { key: v7(Date.now(), "3") }), { status: 201, isReplayed: false });
  const key = fresh();
  const born = (at: string) => post(`${url}/born`, { key, headers: { "x-born": at } });
  const longAgo = new Date(Date.now() - 2 * hourMs);
  t.match(await born(longAgo.toISOString()), expired);
  t.match(await born(longAgo.toUTCString()), expired);
  t.match(await born("yesterday"), { status: 400, code: "key-invalid" });
  t.match(await post(`${url}/born`, { key }), { status: 400, code: "key-invalid" });
  t.match(await born(new Date().toISOString()), { status: 201, isReplayed: false });
  t.match(await born(longAgo.toISOString()), { status: 201, isReplayed: true }, "what has a record is replayed");
});

t.test(
  "a method in a query or another field makes a request unsafe, unless it is the request's own (L11)",
  async (t) => {
    const get = (path: string, headers: Record<string, string> = {}) => post(url + path, { method: "GET", headers });
    const refused = { status: 400, code: "key-missing" };
    for (const name of ["X-Original-Method", "X-Forwarded-Method", "X-HTTP-Verb-Override", "X-HTTP-Method-Override"]) {
      t.match(await get("/pay", { [name]: "POST" }), refused, name);
      t.notMatch(await get("/pay", { [name]: "GET" }), refused, `${name} of a proxy that repeats the method`);
    }
    t.match(await get("/pay?_method=delete"), refused);
    t.match(await get("/pay?x=1&%5Fmethod=PATCH"), refused);
    t.notMatch(await get("/pay?_method=card"), refused, "a parameter that is called so");
    const key = fresh();
    t.match(await post(`${url}/pay`, { key }), { isReplayed: false });
    t.match(await post(`${url}/pay`, { key, headers: { "x-forwarded-method": "PUT" } }), reused);
  },
);
