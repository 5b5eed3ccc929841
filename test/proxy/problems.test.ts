import t from "tap";
import { problems } from "../../src/problem.js";
import { headerOf, post } from "../e2e/client.js";
import { freePort } from "../e2e/free-port.js";
import { RawClient, type RawResponse } from "../e2e/raw-client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";
import { octets } from "../spec/octets.js";

// Every answer of the gateway's own, field by field, and the limits that lead to some of them.

const upstream = await Upstream.start(t);
const nobody = `http://127.0.0.1:${await freePort()}`;
const settings = {
  server: { limits: { requestBody: "8KiB", bufferedBodies: "24KiB" } },
  routes: [
    guarded("/pay", upstream.url),
    guarded("/tenant", upstream.url, { scope: ["header:x-tenant"] }),
    guarded("/busy", upstream.url, { concurrency: "reject" }),
    guarded("/small", upstream.url, { response: { maxStored: "1KiB" } }),
    guarded("/slow", upstream.url, {}, { timeout: "200ms" }),
    guarded("/nobody", nobody),
    guarded("/ready", upstream.url),
    guarded("/probed", upstream.url, { inDoubt: "probe", probe: { url: `${upstream.url}/secret-probe/{key}` } }),
    open("/bare/*", upstream.url, { timeout: "200ms" }),
    open("/bare-nobody", nobody),
  ],
};
const gateway = await SampleGateway.start(t, settings);
const { port, url } = gateway;
const host = `Host: 127.0.0.1:${port}`;

interface Case {
  readonly code: keyof typeof problems;
  readonly answers: () => Promise<RawResponse>;
  readonly route?: string;
  /** What the document says was read; absent: nothing. */
  readonly key?: string;
  readonly retryAfter?: string;
  /** Refused before there was a request to be told of. */
  readonly isUntold?: boolean;
}

const request = (path: string, ...fields: string[]) =>
  RawClient.exchange(port, [`POST ${path} HTTP/1.1`, host, ...fields, "Content-Length: 0"].join("\r\n"));
const keyed = (path: string, key: string) => request(path, `Idempotency-Key: ${key}`);

const cases: Record<string, Case> = {
  "no route takes it": { code: "no-route", answers: () => request("/nowhere") },
  "it can be read in two ways": {
    code: "request-ambiguous",
    answers: () => request("/pay/../pay", "Idempotency-Key: a"),
  },
  "it is not HTTP": {
    code: "request-ambiguous",
    answers: () => RawClient.exchange(port, `POST /pay HTTP/1.1\r\n${host}\r\nBad Name: 1`),
    isUntold: true,
  },
  "too many fields": {
    code: "headers-too-many",
    answers: () => request("/pay", ...Array.from({ length: 201 }, (_, at) => `X-${at}: 1`)),
  },
  "no key": { code: "key-missing", answers: () => request("/pay"), route: "pay" },
  "an empty key": { code: "key-missing", answers: () => keyed("/pay", ""), route: "pay", key: "" },
  "a key with a space": { code: "key-invalid", answers: () => keyed("/pay", "a b"), route: "pay", key: "a b" },
  "two keys": {
    code: "key-invalid",
    answers: () => request("/pay", "Idempotency-Key: a", "idempotency-key: b"),
    route: "pay",
    key: "a, b",
  },
  "nobody's key": { code: "scope-missing", answers: () => keyed("/tenant", "k"), route: "tenant", key: "k" },
  "a body over the limit": {
    code: "body-too-large",
    answers: () =>
      RawClient.exchange(port, `POST /pay HTTP/1.1\r\n${host}\r\nIdempotency-Key: big\r\nContent-Length: 8193`),
    route: "pay",
    key: "big",
  },
  "too many bodies": {
    code: "overloaded",
    async answers() {
      const held = await Promise.all([1, 2, 3].map(() => RawClient.connect(port)));
      for (const client of held) {
        client.write(`POST /pay HTTP/1.1\r\n${host}\r\nIdempotency-Key: held\r\nContent-Length: 8192\r\n\r\n`);
        client.write(Buffer.alloc(8191));
      }
      await gateway.until("three bodies are held", () => gateway.budget.usedBytes === 3 * 8191);
      const head = `POST /pay HTTP/1.1\r\n${host}\r\nIdempotency-Key: over\r\nContent-Length: 4`;
      const response = await RawClient.exchange(port, head, "1234");
      for (const client of held) client.hangUp();
      await gateway.quiet();
      return response;
    },
    route: "pay",
    key: "over",
    retryAfter: "1",
  },
  "another request under the key": {
    code: "key-reused",
    async answers() {
      await keyed("/pay?1", "reused");
      return keyed("/pay?2", "reused");
    },
    route: "pay",
    key: "reused",
  },
  "it is still running": {
    code: "in-progress",
    async answers() {
      const gate = new Gate();
      upstream.on("/busy", gate.before(answer(201)));
      const first = keyed("/busy", "busy");
      await upstream.arrived("/busy");
      const response = await keyed("/busy", "busy");
      gate.open();
      await first;
      return response;
    },
    route: "busy",
    key: "busy",
    retryAfter: "1",
  },
  "it broke off": {
    code: "upstream-reset",
    answers() {
      upstream.on("/pay", octets("", "rst"));
      return keyed("/pay", "doubt");
    },
    route: "pay",
    key: "doubt",
  },
  "nobody knows what came of it": {
    code: "outcome-unknown",
    answers: () => keyed("/pay", "doubt"),
    route: "pay",
    key: "doubt",
  },
  "its answer was too large": {
    code: "response-not-stored",
    async answers() {
      upstream.on("/small", answer(200, Buffer.alloc(2000)));
      await keyed("/small", "large");
      return keyed("/small", "large");
    },
    route: "small",
    key: "large",
  },
  "there is no store": {
    code: "store-unavailable",
    async answers() {
      gateway.trouble.down = new Set(["claim"]);
      const response = await keyed("/pay", "no-store");
      gateway.trouble.down = new Set();
      return response;
    },
    route: "pay",
    key: "no-store",
    retryAfter: "1",
  },
  "there is no upstream": {
    code: "upstream-unreachable",
    answers: () => keyed("/nobody", "alone"),
    route: "nobody",
    key: "alone",
    retryAfter: "1",
  },
  "it was silent": {
    code: "upstream-timeout",
    answers() {
      upstream.on("/slow", () => {});
      return keyed("/slow", "slow");
    },
    route: "slow",
    key: "slow",
  },
  "unprotected: there is no upstream": {
    code: "upstream-unreachable",
    answers: () => request("/bare-nobody"),
    route: "open--bare-nobody",
    retryAfter: "1",
  },
  "unprotected: it broke off": {
    code: "upstream-reset",
    answers() {
      upstream.on("/bare/reset", octets("", "rst"));
      return request("/bare/reset");
    },
    route: "open--bare--",
  },
  "unprotected: it was silent": {
    code: "upstream-timeout",
    answers() {
      upstream.on("/bare/slow", () => {});
      return request("/bare/slow");
    },
    route: "open--bare--",
  },
};

for (const [name, one] of Object.entries(cases)) {
  t.test(`${name}: ${one.code}`, async (t) => {
    const told = gateway.seen("request").length;
    const response = await one.answers();
    const kind = problems[one.code];
    t.equal(response.status, kind.status);
    const fields = response.headers.filter(
      ([field]) => !/^(date|connection|keep-alive|idempotency-record)$/i.test(field),
    );
    const record = headerOf(response, "idempotency-record");
    if (one.key && !/^(key-invalid|scope-missing)$/.test(one.code)) t.match(record, /^[0-9a-f]{16}$/);
    else t.equal(record, undefined, "there is no record without a key");
    t.same(fields, [
      ["Content-Type", "application/problem+json"],
      ["Content-Language", "en"],
      ["Content-Length", String(response.body.length)],
      ["Cache-Control", "no-store"],
      ["Link", `</.well-known/idempotency#${one.code}>; rel="describedby"`],
      ...(one.retryAfter === undefined ? [] : [["Retry-After", one.retryAfter]]),
    ]);
    const document = JSON.parse(response.body.toString());
    const { detail, instance } = document;
    t.strictSame(document, {
      type: `urn:idempotency-gateway:problem:${one.code}`,
      title: kind.title,
      status: kind.status,
      detail,
      instance,
      code: one.code,
      retryable: kind.retryable,
      route: one.route ?? null,
      ...(one.key === undefined ? {} : { idempotency_key: one.key }),
      error: { type: "idempotency_error", code: one.code, message: detail },
    });
    t.match(detail, /^[A-Z].{20,}\.$/, "a sentence for people");
    t.notMatch(detail, /127\.0\.0\.1|undefined|\[object/);
    t.match(instance, /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    if (one.isUntold) return;
    await gateway.until("it is told of", () =>
      gateway
        .seen("request")
        .slice(told)
        .some((event) => event.code === one.code),
    );
    const event = gateway.seen("request").find((known) => known.instance === instance);
    t.match(event, { code: one.code, status: kind.status, route: one.route ?? null });
  });
}

t.test("the detail of in-progress says that it is being processed", async (t) => {
  const gate = new Gate();
  upstream.on("/busy", gate.before(answer(201)));
  const before = upstream.count("/busy");
  const first = post(`${url}/busy`, { key: "processed" });
  await upstream.arrived("/busy", before + 1);
  t.match(JSON.parse((await post(`${url}/busy`, { key: "processed" })).text).detail, /process/);
  gate.open();
  await first;
});

t.test("a problem in answer to a HEAD has no body, and the connection lives on", async (t) => {
  const client = await RawClient.connect(port);
  for (let turn = 0; turn < 2; turn++) {
    client.write(`HEAD /nowhere HTTP/1.1\r\n${host}\r\n\r\n`);
    const response = await client.response("HEAD");
    t.equal(response.status, 404);
    t.match(headerOf(response, "content-length"), /^\d+$/);
  }
  client.hangUp();
});

t.test("types may have a base of one's own, and single ones another", async (t) => {
  const types = { typeBase: "https://errors.example/#", types: { "key-missing": "https://docs.example/keys" } };
  const other = await SampleGateway.start(t, { ...settings, problems: types });
  const typeOf = async (key?: string) =>
    JSON.parse((await post(`${other.url}/pay`, key === undefined ? {} : { key })).text).type;
  t.equal(await typeOf(), "https://docs.example/keys");
  t.equal(await typeOf("a b"), "https://errors.example/#key-invalid");
});

t.test("a refusal that comes before the body leaves the connection usable if the body has come", async (t) => {
  const client = await RawClient.connect(port);
  for (let turn = 0; turn < 3; turn++) {
    client.write(`POST /pay HTTP/1.1\r\n${host}\r\nContent-Length: 5\r\n\r\n12345`);
    const response = await client.response();
    t.equal(response.status, 400);
    t.equal(headerOf(response, "connection"), "keep-alive");
  }
  client.hangUp();
});

t.test("who goes on sending a body that nobody wants still gets the answer, and loses the connection", async (t) => {
  const before = upstream.journal.length;
  for (const path of ["/pay", "/bare-nobody"]) {
    const client = await RawClient.connect(port);
    client.write(`POST ${path} HTTP/1.1\r\n${host}\r\nIdempotency-Key: endless\r\nContent-Length: 100000000\r\n\r\n`);
    const sending = setInterval(() => client.write(Buffer.alloc(65_536)), 5);
    const response = await client.response();
    t.equal(response.status, path === "/pay" ? 413 : 502, path);
    t.equal(headerOf(response, "connection"), "close");
    await client.ended();
    clearInterval(sending);
    client.hangUp();
  }
  t.equal(upstream.journal.length, before);
});

t.test("exactly the limit is no body too large, declared or not", async (t) => {
  upstream.on("/ready", ({ entry, response }) => response.writeHead(201).end(String(entry.body.length)));
  t.match(await post(`${url}/ready`, { key: "limit", body: Buffer.alloc(8192) }), { status: 201, text: "8192" });
  const chunked = (bytes: number) =>
    RawClient.exchange(
      port,
      `POST /ready HTTP/1.1\r\n${host}\r\nIdempotency-Key: chunked-${bytes}\r\nTransfer-Encoding: chunked`,
      `${bytes.toString(16)}\r\n${"x".repeat(bytes)}\r\n0\r\n\r\n`,
    );
  t.equal((await chunked(8192)).status, 201);
  t.equal((await chunked(8193)).status, 413);
});

t.test("when bodies are given back, the next is taken", async (t) => {
  const gate = new Gate();
  upstream.on("/ready", gate.before(answer(201)));
  const before = upstream.count("/ready");
  const held = [1, 2, 3].map((at) => post(`${url}/ready`, { key: `give-${at}`, body: Buffer.alloc(8192) }));
  await upstream.arrived("/ready", before + 3);
  t.match(await post(`${url}/ready`, { key: "give-4", body: "x" }), { status: 503, code: "overloaded" });
  t.equal(
    (await post(`${url}/bare/large`, { body: Buffer.alloc(100_000) })).status,
    201,
    "unprotected ones need no room",
  );
  gate.open();
  await Promise.all(held);
  t.match(await post(`${url}/ready`, { key: "give-4", body: "x" }), { status: 201 });
  await gateway.quiet();
});

t.test("the policy is published where every problem points to", async (t) => {
  const get = (method: string, target: string, accept: string) =>
    RawClient.exchange(port, `${method} ${target} HTTP/1.1\r\n${host}\r\nAccept: ${accept}`);
  const json = await get("GET", "/.well-known/idempotency", "*/*");
  t.match([json.status, headerOf(json, "content-type")], [200, "application/json"]);
  const policy = JSON.parse(json.body.toString());
  t.same(
    policy.routes.map((route: { name: string }) => route.name),
    ["pay", "tenant", "busy", "small", "slow", "nobody", "ready", "probed"],
  );
  t.same(
    policy.problems.map((problem: { code: string }) => problem.code),
    Object.keys(problems),
  );
  const html = await get("GET", "/.well-known/idempotency", "text/html,application/xhtml+xml,*/*;q=0.8");
  t.match([html.status, headerOf(html, "content-type")], [200, "text/html; charset=utf-8"]);
  for (const code of Object.keys(problems)) t.ok(html.body.includes(`id="${code}"`), `${code} has its anchor`);
  for (const page of [json, html]) {
    t.notMatch(page.body.toString(), /secret-probe/, "no probe address");
    t.notOk(page.body.includes(String(upstream.port)), "no upstream address");
  }
  const head = await RawClient.connect(port);
  head.write(`HEAD /.well-known/idempotency HTTP/1.1\r\n${host}\r\n\r\n`);
  t.equal(headerOf(await head.response("HEAD"), "content-length"), String(json.body.length));
  head.hangUp();
  t.match(await post(`${url}/.well-known/idempotency`), { status: 405, code: "method-not-allowed" });
});
