import { inspect } from "node:util";
import t from "tap";
import { headerOf, post } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { answer, Upstream } from "../e2e/upstream.js";
import { guarded, SampleGateway } from "./gateway.js";
import { octets } from "./octets.js";

// D3: what replays the wrong answer, or the right one to the wrong client.

const upstream = await Upstream.start(t);
const gateway = await SampleGateway.start(t, {
  routes: [
    guarded("/pay", upstream.url),
    guarded("/refund", upstream.url),
    guarded("/shop/*", upstream.url),
    guarded("/by-host", upstream.url, { scope: ["header:host"] }),
    guarded("/tenant", upstream.url, { scope: ["header:x-tenant"] }),
    guarded("/tenant-and-user", upstream.url, { scope: ["header:x-tenant", "header:x-user?"] }),
    guarded("/optional", upstream.url, { key: { required: false } }),
    guarded("/composed", upstream.url, { key: { from: ["header:x-a", "header:x-b"] } }),
    guarded("/typed", upstream.url, { fingerprint: { headers: ["content-type"] } }),
    guarded("/json", upstream.url, { fingerprint: { body: "json" } }),
    guarded("/codes", upstream.url, { outcomes: { release: [400, 401, 403, 429, 503] } }),
  ],
});
const { port, url, store } = gateway;
const reused = { status: 422, code: "key-reused" };

t.test(
  "the same key on another endpoint is another request: it runs, and gets its own answer (#34, #36a, #38d)",
  async (t) => {
    upstream.on("/pay", answer(201, "paid"));
    upstream.on("/refund", answer(201, "refunded"));
    t.match(await post(`${url}/pay`, { key: "both", body: "7" }), { text: "paid", isReplayed: false });
    t.match(await post(`${url}/refund`, { key: "both", body: "7" }), { text: "refunded", isReplayed: false });
    t.match(await post(`${url}/pay`, { key: "both", body: "7" }), { text: "paid", isReplayed: true });
  },
);

t.test("on another path of one route it is refused, never answered with the other's answer (#33, #46)", async (t) => {
  t.match(await post(`${url}/shop/orders`, { key: "paths", body: "7" }), { status: 201 });
  for (const path of ["/shop/refunds", "/shop/orders/1", "/shop/orders?dry-run=1", "/shop/Orders"]) {
    t.match(await post(url + path, { key: "paths", body: "7" }), reused, path);
  }
});

t.test("another host is another API, where the route says so (#33)", async (t) => {
  upstream.on("/by-host", ({ entry, response }) => response.end(headerOf(entry, "host")));
  for (const host of ["a.example", "b.example"]) {
    t.equal((await post(`${url}/by-host`, { key: "hosts", headers: { host } })).text, host);
  }
});

t.test("what one tenant was answered no other is, in any combination of its parts (#35, #45)", async (t) => {
  const echo = ({ entry, response }: Parameters<Parameters<Upstream["on"]>[1]>[0]) =>
    response.end(`${headerOf(entry, "x-tenant")}/${headerOf(entry, "x-user")}`);
  upstream.on("/tenant-and-user", echo);
  const clients: Record<string, string>[] = [
    { "x-tenant": "a", "x-user": "bc" },
    { "x-tenant": "ab", "x-user": "c" },
    { "x-tenant": "abc" },
    { "x-tenant": "abc", "x-user": "-" },
    { "x-tenant": "a", "x-user": "b" },
    { "x-tenant": "b", "x-user": "a" },
  ];
  for (const isReplayed of [false, true]) {
    for (const headers of clients) {
      const reply = await post(`${url}/tenant-and-user`, { key: "k", headers });
      t.match(reply, { text: `${headers["x-tenant"]}/${headers["x-user"]}`, isReplayed });
    }
  }
});

t.test("a scope that is missing is refused, and is not everybody's (#37)", async (t) => {
  const before = upstream.journal.length;
  for (const headers of [{}, { "x-tenant": "" }]) {
    t.match(await post(`${url}/tenant`, { key: "k", headers }), { status: 400, code: "scope-missing" });
  }
  t.equal(upstream.journal.length, before);
});

t.test("a hundred requests at once get each their own answer (#38)", async (t) => {
  upstream.on("/pay", ({ entry, response }) => {
    setTimeout(() => response.writeHead(201, { "x-of": entry.body.toString() }).end(entry.body), Math.random() * 20);
  });
  const all = Array.from({ length: 100 }, (_, at) =>
    post(`${url}/pay`, { key: `own-${at >> 1}`, body: `body ${at >> 1}` }),
  );
  for (const [at, reply] of (await Promise.all(all)).entries()) {
    t.match([reply.text, headerOf(reply, "x-of")], [`body ${at >> 1}`, `body ${at >> 1}`]);
  }
});

t.test("requests without a key share nothing; an empty key is none, where none is required (#38a)", async (t) => {
  upstream.on("/optional", ({ response, nth }) => response.end(`run ${nth}`));
  for (let turn = 1; turn <= 3; turn++)
    t.match(await post(`${url}/optional`), { text: `run ${turn}`, isReplayed: false });
  t.match(await post(`${url}/optional`, { key: "" }), { text: "run 4", isReplayed: false });
  t.match(await post(`${url}/optional`, { key: '""' }), { text: "run 5", isReplayed: false });
  t.match(await post(`${url}/pay`, { key: "" }), { status: 400, code: "key-missing" });
});

t.test("a record holds neither key, nor scope, nor the request (#38b)", async (t) => {
  const secrets = ["the-raw-key", "Bearer-of-secrets", "body-of-the-request", "cookie-of-the-client"];
  const [key = "", authorization = "", body = "", cookie = ""] = secrets;
  upstream.on("/pay", answer(201, "ok"));
  await post(`${url}/pay?${body}`, { key, body, headers: { authorization, cookie } });
  const records = await gateway.records();
  const whole = await Promise.all(records.map((record) => store.peek(record.key, true)));
  const text = inspect(whole, { depth: null, maxArrayLength: null, maxStringLength: null });
  for (const secret of secrets) t.notMatch(text, new RegExp(secret), secret);
});

t.test(
  "repeated fields, octets that are no text and odd statuses come back as they were (#39, #40, #41)",
  async (t) => {
    const fields = [
      "Set-Cookie: a=1; Path=/",
      "Location: /7",
      "set-cookie: b=2",
      'ETag: W/"1"',
      "Content-Type: image/png",
    ];
    const body = "\x89PNG\r\n\x1a\n\x00\xff\xfe";
    for (const status of [201, 202, 406, 500]) {
      upstream.on(
        "/pay",
        octets(`HTTP/1.1 ${status} X\r\n${fields.join("\r\n")}\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
      );
      const first = await post(`${url}/pay`, { key: `bytes-${status}` });
      const second = await post(`${url}/pay`, { key: `bytes-${status}` });
      for (const reply of [first, second]) {
        t.equal(reply.status, status);
        t.equal(reply.body.toString("latin1"), body);
        t.same(
          reply.headers.slice(0, fields.length).map((pair) => pair.join(": ")),
          fields,
        );
      }
      t.ok(second.isReplayed);
    }
  },
);

t.test("all of a large body counts, and all of it reaches the upstream (#42, #43)", async (t) => {
  const body = Buffer.alloc(1024 * 1024, "x");
  const other = Buffer.from(body);
  other[other.length - 1] = 0;
  upstream.on("/pay", answer(201));
  t.match(await post(`${url}/pay`, { key: "large", body }), { status: 201 });
  t.ok(upstream.entries("/pay").at(-1)?.body.equals(body));
  t.match(await post(`${url}/pay`, { key: "large", body: other }), reused);
  t.match(await post(`${url}/pay`, { key: "large", body }), { isReplayed: true });
});

t.test("as JSON, numbers are compared as written, and repeated members are two bodies (#44)", async (t) => {
  const pairs: [one: string, two: string][] = [
    ['{"amount":9007199254740993}', '{"amount":9007199254740992}'],
    ['{"amount":0.1}', '{"amount":0.10000000000000001}'],
    ['{"amount":1,"amount":2}', '{"amount":2}'],
    ['{"amount":1}', '{"amount":"1"}'],
    ['{"a":{"b":1}}', '{"a.b":1}'],
  ];
  for (const [at, [one, two]] of pairs.entries()) {
    t.match(await post(`${url}/json`, { key: `json-${at}`, body: one }), { status: 201 });
    t.equal(upstream.entries("/json").at(-1)?.body.toString(), one);
    t.match(await post(`${url}/json`, { key: `json-${at}`, body: two }), reused, two);
  }
});

t.test("a key of several parts is framed: a and bc are not ab and c (#45)", async (t) => {
  const as = (a: string, b: string) => post(`${url}/composed`, { headers: { "x-a": a, "x-b": b } });
  t.match(await as("a", "bc"), { status: 201, isReplayed: false });
  t.match(await as("ab", "c"), { status: 201, isReplayed: false });
  t.match(await as("a", "bc"), { isReplayed: true });
  t.match(await post(`${url}/composed`, { headers: { "x-a": "abc" } }), { status: 400, code: "key-missing" });
});

t.test("a body without a declared length counts like any other (#46)", async (t) => {
  const chunked = (text: string) =>
    RawClient.exchange(
      port,
      `POST /pay HTTP/1.1\r\nHost: 127.0.0.1\r\nIdempotency-Key: chunked\r\nTransfer-Encoding: chunked`,
      `${text.length}\r\n${text}\r\n0\r\n\r\n`,
    );
  t.equal((await chunked("one")).status, 201);
  t.equal((await chunked("two")).status, 422);
  t.match(await post(`${url}/pay`, { key: "chunked", body: "one" }), { isReplayed: true }, "framing is not content");
});

t.test("a media type that matters is compared, where the route says so (#36e)", async (t) => {
  const as = (type: string) => post(`${url}/typed`, { key: "typed", body: "{}", headers: { "content-type": type } });
  t.match(await as("application/json"), { status: 201 });
  t.match(await as("text/plain"), reused);
  t.match(await as("application/json"), { isReplayed: true });
});

t.test("a client cannot say itself that its answer is a replay, nor can the upstream (#47)", async (t) => {
  upstream.on("/pay", answer(201, "", { "Idempotent-Replayed": "true" }));
  const reply = await post(`${url}/pay`, { key: "spoofed", headers: { "idempotent-replayed": "true" } });
  t.equal(headerOf(reply, "idempotent-replayed"), undefined);
});

t.test("nothing a client says chooses the upstream (#48)", async (t) => {
  const elsewhere = await Upstream.start(t);
  const authority = `127.0.0.1:${elsewhere.port}`;
  const headers = { host: authority, "x-forwarded-host": authority, "x-original-url": `http://${authority}/` };
  upstream.on("/pay", answer(201));
  t.match(await post(`${url}/pay`, { key: "ssrf", headers }), { status: 201 });
  const head = `POST http://${authority}/pay HTTP/1.1\r\nHost: ${authority}\r\nIdempotency-Key: ssrf-2\r\nContent-Length: 0`;
  t.equal((await RawClient.exchange(port, head)).status, 201);
  t.same(elsewhere.journal, []);
});

t.test(
  "an answer that says who are you does not stick; nor does one the route calls not done (#50, #60a)",
  async (t) => {
    for (const status of [400, 401, 403, 429]) {
      upstream.on("/codes", answer(status));
      t.match(await post(`${url}/codes`, { key: `code-${status}` }), { status, isReplayed: false });
      upstream.on("/codes", answer(201));
      t.match(
        await post(`${url}/codes`, { key: `code-${status}` }),
        { status: 201, isReplayed: false },
        `after ${status}`,
      );
    }
  },
);
