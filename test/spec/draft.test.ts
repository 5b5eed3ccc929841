import t, { type Test } from "tap";
import { headerOf, post, type Reply } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "./gateway.js";

// What draft-ietf-httpapi-idempotency-key-header-07 asks of a server: a test for each MUST and SHOULD, by section.

const upstream = await Upstream.start(t);
const gateway = await SampleGateway.start(t, {
  server: { limits: { requestBody: "64KiB" } },
  routes: [
    guarded("/pay", upstream.url),
    guarded("/strict", upstream.url, { key: { strict: true } }),
    guarded("/uuid", upstream.url, { key: { pattern: "^[0-9a-f-]{36}$", maxLength: 36 }, retention: "2h" }),
    guarded("/reject", upstream.url, { concurrency: "reject" }),
    guarded("/json", upstream.url, { fingerprint: { body: "json", ignore: ["/sentAt"] } }),
    guarded("/no-body", upstream.url, { fingerprint: { body: "none", query: false } }),
    guarded("/headers", upstream.url, { fingerprint: { headers: ["Content-Digest"] } }),
    guarded("/tenant", upstream.url, { scope: ["header:x-tenant"] }),
    open("/open", upstream.url),
  ],
});
const { port, url, store } = gateway;

/** With the field's value as it is on the wire. */
async function withKey(path: string, ...values: string[]) {
  const fields = values.map((value) => `Idempotency-Key: ${value}\r\n`).join("");
  const head = `POST ${path} HTTP/1.1\r\nHost: h\r\n${fields}Content-Length: 0`;
  const response = await RawClient.exchange(port, head);
  const isProblem = headerOf(response, "content-type") === "application/problem+json";
  return {
    status: response.status,
    isReplayed: headerOf(response, "idempotent-replayed") === "true",
    code: isProblem ? JSON.parse(response.body.toString()).code : undefined,
  };
}

const ran = { status: 201, isReplayed: false };
const replayed = { status: 201, isReplayed: true };
const invalid = { status: 400, code: "key-invalid" };

t.test("§2.1 MUST: the value is a structured-field String; strictly, nothing else is a key", async (t) => {
  t.match(await withKey("/strict", '"8e03978e-40d5-43dd-bc93-6894a57f9324"'), ran);
  const others = [
    "token",
    "42",
    "4.2",
    "?1",
    ":aGk=:",
    "@1659578233",
    '"a", "b"',
    '("a" "b")',
    '"a',
    'a"',
    "'a'",
    '"\xe9"',
  ];
  for (const value of others) t.match(await withKey("/strict", value), invalid, value);
});

t.test("§2.1: an Item may have parameters, and they are not part of the key", async (t) => {
  t.match(await withKey("/strict", '"with-parameters"'), ran);
  for (const value of ['"with-parameters";x=1', '"with-parameters"; y="z";q', '"with-parameters"  ']) {
    t.match(await withKey("/strict", value), replayed, value);
  }
});

t.test("§2.1: escapes in a String are undone", async (t) => {
  t.match(await withKey("/strict", '"a\\"b\\\\c"'), ran);
  t.match(await withKey("/pay", '"a\\"b\\\\c"'), ran);
  t.match(await withKey("/pay", 'a"b\\c'), replayed, "the plain form of the same key");
  t.match(await withKey("/strict", '"a\\b"'), invalid);
});

t.test("§2.1: unless it is strict, clients that do not quote are understood, and both forms are one key", async (t) => {
  t.match(await withKey("/pay", "8e03978e"), ran);
  t.match(await withKey("/pay", '"8e03978e"'), replayed);
  t.match(await withKey("/pay", '"8e03978e";x=1'), replayed);
});

t.test("§2.1: the field given twice is no Item, and is refused", async (t) => {
  for (const path of ["/pay", "/strict"]) {
    t.match(await withKey(path, '"a"', '"b"'), invalid);
    t.match(await withKey(path, '"a"', '"a"'), invalid, "also when both say the same");
  }
  t.match(await withKey("/pay", "a, b"), invalid);
});

t.test("§2.2 MUST: a key stands for one request; another key for another", async (t) => {
  const before = upstream.count("/pay");
  for (const key of ["one", "two", "One"]) t.match(await withKey("/pay", key), ran, key);
  t.equal(upstream.count("/pay"), before + 3);
});

t.test("§2.2 MUST NOT: a key is not used again with another payload", async (t) => {
  t.match(await post(`${url}/pay`, { key: "payload", body: '{"amount":1}' }), ran);
  const before = upstream.count("/pay");
  for (const body of ['{"amount":2}', '{"amount":1} ', ""]) {
    t.match(await post(`${url}/pay`, { key: "payload", body }), { status: 422, code: "key-reused" });
  }
  t.equal(upstream.count("/pay"), before);
});

t.test("§2.2 MUST: how keys are formed is defined by the resource, published and enforced", async (t) => {
  const policy = JSON.parse((await post(`${url}/.well-known/idempotency`, { method: "GET" })).text);
  const uuid = policy.routes.find((route: { name: string }) => route.name === "uuid");
  t.match(uuid.key, { from: ["header:Idempotency-Key"], pattern: "^[0-9a-f-]{36}$", maxLength: 36, required: true });
  t.match(await withKey("/uuid", "8e03978e-40d5-43dd-bc93-6894a57f9324"), ran);
  t.match(await withKey("/uuid", "8e03978e-40d5-43dd-bc93"), invalid);
  t.match(await withKey("/pay", "x".repeat(255)), ran);
  t.match(await withKey("/pay", "x".repeat(256)), invalid);
});

t.test("§2.2 RECOMMENDED: a UUID is a valid key, quoted or not", async (t) => {
  const uuid = crypto.randomUUID();
  t.match(await withKey("/pay", `"${uuid}"`), ran);
  t.match(await withKey("/pay", uuid), replayed);
});

t.test("§2.3 SHOULD: the expiry of keys is defined and published; a key is remembered for so long", async (t) => {
  const policy = JSON.parse((await post(`${url}/.well-known/idempotency`, { method: "GET" })).text);
  const retention = (name: string) => policy.routes.find((route: { name: string }) => route.name === name).retention;
  t.same([retention("uuid"), retention("pay")], ["PT2H", "PT24H"]);
  const key = crypto.randomUUID();
  t.match(await withKey("/uuid", key), ran);
  store.passTime(2 * 3_600_000 - 1);
  t.match(await withKey("/uuid", key), replayed);
  store.passTime(1);
  t.match(await withKey("/uuid", key), ran);
});

t.test("§2.4 MAY: the fingerprint is over all of the payload, or what the resource chose of the request", async (t) => {
  const reused = { status: 422, code: "key-reused" };
  t.match(await post(`${url}/json`, { key: "f", body: '{"a":1,"sentAt":1}' }), ran);
  t.match(await post(`${url}/json`, { key: "f", body: '{ "sentAt": 2, "a": 1 }' }), replayed);
  t.match(await post(`${url}/json`, { key: "f", body: '{"a":2,"sentAt":1}' }), reused);
  t.match(await post(`${url}/no-body?1`, { key: "f", body: "1" }), ran);
  t.match(await post(`${url}/no-body?2`, { key: "f", body: "2" }), replayed);
  const digest = (value: string) => ({ key: "f", headers: { "content-digest": value } });
  t.match(await post(`${url}/headers`, digest("sha-256=:AAAA:")), ran);
  t.match(await post(`${url}/headers`, digest("sha-256=:AAAA:")), replayed);
  t.match(await post(`${url}/headers`, digest("sha-256=:BBBB:")), reused);
  t.match(await post(`${url}/headers`, { key: "f" }), reused);
});

t.test("§2.5 MAY (client): a key sent to a resource that does not honour it does no harm", async (t) => {
  for (let turn = 1; turn <= 2; turn++) {
    t.match(await withKey("/open", '"speculative"'), ran);
    t.equal(upstream.count("/open"), turn);
  }
  t.match(await withKey("/open", "\xe9, not, even, one"), ran);
});

t.test("§2.5 MUST: the resource publishes its idempotency specification, expiry included", async (t) => {
  const json = await post(`${url}/.well-known/idempotency`, { method: "GET" });
  t.equal(json.status, 200);
  for (const route of JSON.parse(json.text).routes) {
    t.match(route, {
      name: String,
      methods: Array,
      path: String,
      key: Object,
      scope: Array,
      fingerprint: Object,
      concurrency: /^(wait|reject)$/,
      retention: /^PT?\d/,
      outcomes: Object,
      inDoubt: String,
    });
  }
  const html = await post(`${url}/.well-known/idempotency`, { method: "GET", headers: { accept: "text/html" } });
  t.match(headerOf(html, "content-type"), /^text\/html/);
  for (const words of ["Kept for", "24 h", "Key"]) t.match(html.text, words);
});

t.test("§2.5 SHOULD: the key is read from the header field, whatever its letter case", async (t) => {
  const head = (name: string) => `POST /pay HTTP/1.1\r\nHost: h\r\n${name}: cased\r\nContent-Length: 0`;
  t.equal(headerOf(await RawClient.exchange(port, head("idempotency-key")), "idempotent-replayed"), undefined);
  t.equal(headerOf(await RawClient.exchange(port, head("IDEMPOTENCY-KEY")), "idempotent-replayed"), "true");
});

t.test("§2.5 SHOULD: a fingerprint is made of each request, its method and target included", async (t) => {
  t.match(await post(`${url}/pay?a=1`, { key: "print", body: "x" }), ran);
  for (const [target, options] of [
    ["/pay?a=2", { body: "x" }],
    ["/pay", { body: "x" }],
    ["/pay?a=1", { body: "y" }],
    ["/pay?a=1", { body: "x", method: "PATCH" }],
  ] as const) {
    t.match(
      await post(url + target, { key: "print", ...options }),
      { status: 422 },
      `${target} ${JSON.stringify(options)}`,
    );
  }
  t.match(await post(`${url}/pay?a=1`, { key: "print", body: "x" }), replayed);
});

t.test("§2.6 SHOULD: the first request with a key is processed as usual", async (t) => {
  upstream.on("/pay", ({ entry, response }) => {
    response.writeHead(202, { "x-own": "1", "content-type": "text/plain" }).end(`made of ${entry.body}`);
  });
  const reply = await post(`${url}/pay`, { key: "first", body: "this" });
  t.match(reply, { status: 202, text: "made of this", isReplayed: false });
  t.equal(headerOf(reply, "x-own"), "1");
});

t.test("§2.6 SHOULD: a retry after the end gets the result of the first, success or error", async (t) => {
  for (const status of [200, 201, 204, 302, 400, 404, 409, 422, 500]) {
    const before = upstream.count("/pay");
    upstream.on("/pay", ({ response, nth }) =>
      response.writeHead(status).end(status === 204 ? undefined : `run ${nth}`),
    );
    const [first, second] = [
      await post(`${url}/pay`, { key: `r-${status}` }),
      await post(`${url}/pay`, { key: `r-${status}` }),
    ];
    t.match(second, { status, text: first.text, isReplayed: true });
    t.equal(upstream.count("/pay"), before + 1, `${status} was processed once`);
  }
});

t.test(
  "§2.6 SHOULD: a retry while the first is being processed is a conflict, where it may not wait for it",
  async (t) => {
    const gate = new Gate();
    upstream.on("/reject", gate.before(answer(201)));
    const first = post(`${url}/reject`, { key: "outstanding" });
    await upstream.arrived("/reject");
    t.match(await post(`${url}/reject`, { key: "outstanding" }), { status: 409, code: "in-progress" });
    gate.open();
    t.match(await first, ran);
    t.match(await post(`${url}/reject`, { key: "outstanding" }), replayed);
    t.equal(upstream.count("/reject"), 1);
  },
);

/** Both shapes of §2.7 at once: a problem document, and a link to the documentation. */
function describes(t: Test, reply: Reply, status: number, title: RegExp): void {
  t.equal(reply.status, status);
  t.equal(headerOf(reply, "content-type"), "application/problem+json");
  t.equal(headerOf(reply, "content-language"), "en");
  const document = JSON.parse(reply.text);
  t.match(document, { type: /^[a-z]+:/, title, detail: /\w \w/, status });
  t.match(headerOf(reply, "link"), /^<\/\.well-known\/idempotency#[a-z-]+>; rel="describedby"$/);
}

t.test(
  "§2.7 SHOULD: a key that is required and missing is answered 400, with a link to the documentation",
  async (t) => {
    const before = upstream.journal.length;
    describes(t, await post(`${url}/pay`), 400, /key is required/);
    describes(t, await post(`${url}/pay`, { key: "" }), 400, /key is required/);
    t.equal(upstream.journal.length, before);
  },
);

t.test(
  "§2.7 SHOULD: a key reused with another payload is answered 422, with a link to the documentation",
  async (t) => {
    await post(`${url}/no-body`, { key: "linked" });
    describes(t, await post(`${url}/no-body`, { key: "linked", method: "PATCH" }), 422, /key was used/);
  },
);

t.test("§2.7 SHOULD: an outstanding request is answered 409, with a description of the problem", async (t) => {
  const gate = new Gate();
  upstream.on("/reject", gate.before(answer(201)));
  const before = upstream.count("/reject");
  const first = post(`${url}/reject`, { key: "described" });
  await upstream.arrived("/reject", before + 1);
  const reply = await post(`${url}/reject`, { key: "described" });
  describes(t, reply, 409, /outstanding/);
  t.match(headerOf(reply, "retry-after"), /^\d+$/);
  gate.open();
  await first;
});

t.test("§2.7 MUST: who corrects nothing gets the same error again, and the record stays as it is", async (t) => {
  upstream.on("/pay", answer(201, "the one"));
  await post(`${url}/pay`, { key: "stubborn", body: "right" });
  for (let turn = 0; turn < 5; turn++) {
    const reply = await post(`${url}/pay`, { key: "stubborn", body: "wrong" });
    t.match(reply, { status: 422, code: "key-reused" });
    t.equal(JSON.parse(reply.text).retryable, false, "the client is told to correct it first");
    t.match(await post(`${url}/pay`, { body: "no key" }), { status: 400, code: "key-missing" });
  }
  t.match(await post(`${url}/pay`, { key: "stubborn", body: "right" }), { text: "the one", isReplayed: true });
});

t.test("§5: keys are validated before anything is asked of the store", async (t) => {
  const asked: string[] = [];
  gateway.trouble.asked = (verb) => asked.push(verb);
  const before = upstream.journal.length;
  for (const value of ["a b", "a\tb", "\xe9", "a,b", "x".repeat(60_000), '"a b"', "%00\x7f"]) {
    t.match(await withKey("/pay", value), { status: 400 }, value.slice(0, 20));
  }
  gateway.trouble.asked = undefined;
  t.same(asked, []);
  t.equal(upstream.journal.length, before);
});

t.test("§5: what a key says is no address: injected separators, wildcards and commands are only keys", async (t) => {
  const keys = ["*", "ig:*", "a:b", "a{b}c", "../x", "'--", "$(id)", "%0d%0aFLUSHALL", "__proto__", "constructor"];
  for (const key of keys) t.match(await withKey("/pay", key), ran, key);
  for (const key of keys) t.match(await withKey("/pay", key), replayed, key);
  for (const record of await gateway.records()) t.match(record.key, /^[0-9a-f]{64}$/);
});

t.test(
  "§5 MAY: a record is found by key and what the resource knows of the client, so nobody reads another's answer",
  async (t) => {
    const as = (tenant: string) => post(`${url}/tenant`, { key: "guessed", headers: { "x-tenant": tenant } });
    upstream.on("/tenant", ({ entry, response }) => response.writeHead(201).end(headerOf(entry, "x-tenant")));
    for (const tenant of ["a", "b"]) t.match(await as(tenant), { text: tenant, isReplayed: false });
    for (const tenant of ["a", "b"]) t.match(await as(tenant), { text: tenant, isReplayed: true });
    t.match(await post(`${url}/tenant`, { key: "guessed" }), { status: 400, code: "scope-missing" });
  },
);
