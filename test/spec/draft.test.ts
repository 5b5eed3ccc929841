import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import t, { type Test } from "tap";
import { guarded, open, SampleGateway } from "./gateway.js";

// draft-ietf-httpapi-idempotency-key-header-07: each requirement that a server, or what stands for it, can meet. The
// number in a title is the draft's section.

/** Executes what it gets, and answers when the test lets it. */
const executed: { path: string; body: string; key: string | undefined }[] = [];
let hold: Promise<void> | undefined;
const api = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", async () => {
    const key = request.headers["idempotency-key"] as string | undefined;
    executed.push({ path: request.url ?? "", body: Buffer.concat(parts).toString(), key });
    await hold;
    const status = request.url?.includes("fails") ? 422 : 201;
    response.writeHead(status, { "Content-Type": "text/plain" }).end(`made ${executed.length}`);
  });
});
await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
t.teardown(() => {
  api.closeAllConnections();
  api.close();
});
const upstream = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
const gateway = await SampleGateway.start(t, {
  routes: [
    guarded("/pay", upstream, { retention: "1h" }),
    guarded("/strict", upstream, { key: { strict: true } }),
    guarded("/uuid", upstream, { key: { pattern: "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" } }),
    guarded("/optional", upstream, { key: { required: false } }),
    guarded("/busy", upstream, { concurrency: "reject" }),
    guarded("/part", upstream, { fingerprint: { body: "json", ignore: ["/sentAt"] } }),
    guarded("/unchecked", upstream, { fingerprint: { body: "none" } }),
    guarded("/tenants", upstream, { scope: ["header:authorization"] }),
    open("/*", upstream),
  ],
});

let serial = 0;
const newKey = () => `spec-${++serial}`;
const send = (path: string, key?: string, body = "{}", headers: Record<string, string> = {}, method = "POST") =>
  fetch(gateway.url + path, {
    method,
    headers: { ...headers, ...(key === undefined ? {} : { "Idempotency-Key": key }) },
    ...(method === "GET" ? {} : { body }),
  });
const problem = async (response: Response) => (await response.json()) as Record<string, unknown>;
/** How many requests reached the API while this ran. */
async function dispatches(run: () => Promise<unknown>): Promise<number> {
  const before = executed.length;
  await run();
  return executed.length - before;
}

t.test("§2.1 the value is a structured-field string: quoted and plain spellings are one key", async (t) => {
  const key = newKey();
  t.equal(await dispatches(async () => t.equal((await send("/pay", `"${key}"`)).status, 201)), 1);
  const again = await send("/pay", key);
  t.equal(again.headers.get("idempotent-replayed"), "true");
});

t.test("§2.1 strictly, only a quoted string is a key; its parameters are ignored", async (t) => {
  for (const bad of ["abc", "123", ":YWJj:", "?1", '"abc', '"a\tb"', '"é"', '"a", "b"']) {
    const answer = await send("/strict", bad);
    t.equal(answer.status, 400, bad);
    t.equal((await problem(answer)).code, "key-invalid", bad);
  }
  const key = newKey();
  t.equal((await send("/strict", `"${key}";v=1`)).status, 201);
  t.equal((await send("/strict", `"${key}"`)).headers.get("idempotent-replayed"), "true");
  t.equal((await send("/strict", '"a\\"b"')).status, 201, "an escaped quote is part of the key");
});

t.test("§2.1 two field lines are a list and no item: refused, not one of them picked", async (t) => {
  const headers: [string, string][] = [
    ["Idempotency-Key", newKey()],
    ["Idempotency-Key", newKey()],
  ];
  const before = executed.length;
  const answer = await fetch(`${gateway.url}/pay`, { method: "POST", headers });
  t.equal(answer.status, 400);
  t.equal((await problem(answer)).code, "key-invalid");
  t.equal(executed.length, before);
});

t.test(
  "§2.2 a key MUST NOT be reused with another payload: refused each time, and the first record is untouched",
  async (t) => {
    const key = newKey();
    const first = await (await send("/pay", key, '{"amount":1}')).text();
    for (let i = 0; i < 3; i++) t.equal((await send("/pay", key, '{"amount":2}')).status, 422);
    const retry = await send("/pay", key, '{"amount":1}');
    t.same([retry.status, await retry.text()], [201, first]);
  },
);

t.test("§2.2 a server may ask for a format; the resource owner's rule decides what is a key", async (t) => {
  t.equal((await send("/uuid", "order-1")).status, 400);
  t.equal((await send("/uuid", "123e4567-e89b-42d3-a456-426614174000")).status, 201);
});

t.test("§2.3 keys expire by the published policy, and are new after that", async (t) => {
  const key = newKey();
  await (await send("/pay", key)).text();
  gateway.store.passTime(3_599_000);
  t.equal((await send("/pay", key)).headers.get("idempotent-replayed"), "true");
  gateway.store.passTime(2_000);
  const again = await send("/pay", key);
  t.same([again.status, again.headers.get("idempotent-replayed")], [201, null]);
});

t.test("§2.4 the fingerprint may be of the whole payload, of chosen parts, or left out", async (t) => {
  const [whole, part, none] = [newKey(), newKey(), newKey()];
  await send("/pay", whole, '{"a":1,"sentAt":1}');
  t.equal((await send("/pay", whole, '{"a":1,"sentAt":2}')).status, 422);
  await send("/part", part, '{"a":1,"sentAt":1}');
  t.equal((await send("/part", part, '{"sentAt":2,"a":1}')).headers.get("idempotent-replayed"), "true");
  t.equal((await send("/part", part, '{"sentAt":2,"a":2}')).status, 422);
  await send("/unchecked", none, "a");
  t.equal((await send("/unchecked", none, "b")).headers.get("idempotent-replayed"), "true");
});

t.test(
  "§2.5 a client may send a key speculatively: where it means nothing, it is passed on and does no harm",
  async (t) => {
    const key = newKey();
    t.equal(await dispatches(() => Promise.all([send("/other", key), send("/other", key)])), 2);
    t.equal(executed.at(-1)?.key, key);
    t.equal(await dispatches(() => send("/pay", key, "", {}, "GET")), 1, "a safe method on a protected path");
  },
);

t.test("§2.5 the resource MUST publish its policy, with the expiry of keys", async (t) => {
  const answer = await fetch(`${gateway.url}/.well-known/idempotency`);
  t.equal(answer.status, 200);
  const text = await answer.text();
  for (const part of ["Idempotency-Key", "PT1H", "/pay", "key-reused"]) t.ok(text.includes(part), part);
});

t.test("§2.6 first time: processed normally", async (t) => {
  const key = newKey();
  t.equal(await dispatches(async () => t.equal((await send("/pay", key, "x")).status, 201)), 1);
  t.match(executed.at(-1), { path: "/pay", body: "x", key });
});

t.test(
  "§2.6 a retry after completion gets the result of the first, success or error, and is not processed",
  async (t) => {
    for (const path of ["/pay", "/pay?fails"]) {
      const key = newKey();
      const first = await send(path, key);
      const body = await first.text();
      const again = await dispatches(async () => {
        const retry = await send(path, key);
        t.same([retry.status, await retry.text()], [first.status, body], path);
      });
      t.equal(again, 0, path);
    }
  },
);

t.test(
  "§2.6 a retry while the first is processed: a conflict, or by default the one result that both wait for",
  async (t) => {
    for (const path of ["/busy", "/pay"]) {
      const key = newKey();
      let release = () => {};
      hold = new Promise((resolve) => {
        release = resolve;
      });
      const before = executed.length;
      const first = send(path, key);
      await gateway.until("the first is there", () => executed.length > before);
      const second = send(path, key);
      if (path === "/busy") t.equal((await second).status, 409);
      else await gateway.waiting(1);
      release();
      hold = undefined;
      const body = await (await first).text();
      if (path === "/pay") t.equal(await (await second).text(), body);
      t.equal(executed.length, before + 1, path);
    }
  },
);

t.test("§2.7 a required key that is missing: 400, with a pointer to the documentation", async (t) => {
  t.equal(await dispatches(async () => documented(t, await send("/pay"), 400, "key-missing")), 0);
  t.equal((await send("/optional")).status, 201, "where it is not required it is none");
});

t.test("§2.7 a key reused with another payload: 422, with a pointer to the documentation", async (t) => {
  const key = newKey();
  await send("/pay", key, "1");
  t.equal(await dispatches(async () => documented(t, await send("/pay", key, "2"), 422, "key-reused")), 0);
});

t.test(
  "§2.7 an outstanding request: 409, with a pointer to the documentation, and the one that may be retried as it is",
  async (t) => {
    const key = newKey();
    let release = () => {};
    hold = new Promise((resolve) => {
      release = resolve;
    });
    const before = executed.length;
    const first = send("/busy", key);
    await gateway.until("the first is there", () => executed.length > before);
    const second = await send("/busy", key);
    t.equal(second.headers.get("retry-after"), "1");
    await documented(t, second, 409, "in-progress", true);
    release();
    hold = undefined;
    t.equal((await first).status, 201);
  },
);

t.test("§5 keys are validated before anything is looked up or sent", async (t) => {
  const before = (await gateway.records()).length;
  for (const bad of ["a b", "a,b", "x".repeat(256), "clé", `${"a{b}c\u0001".slice(0, 5)}\u00ff`]) {
    t.equal((await send("/pay", bad)).status, 400, bad);
  }
  t.equal((await gateway.records()).length, before);
});

t.test("§5 one client's key does not lead to another one's answer", async (t) => {
  const key = newKey();
  const ofA = await (await send("/tenants", key, "{}", { Authorization: "Bearer a" })).text();
  const ofB = await send("/tenants", key, "{}", { Authorization: "Bearer b" });
  t.equal(ofB.headers.get("idempotent-replayed"), null);
  t.not(await ofB.text(), ofA);
  t.equal((await send("/tenants", key)).status, 400, "and nobody's key is no key");
});

/** RFC 9457, and the draft's two ways to point to documentation: a `type` and a `Link`. */
async function documented(t: Test, response: Response, status: number, code: string, retryable = false) {
  t.equal(response.status, status);
  t.equal(response.headers.get("content-type"), "application/problem+json");
  t.equal(response.headers.get("content-language"), "en");
  t.equal(response.headers.get("link"), `</.well-known/idempotency#${code}>; rel="describedby"`);
  const document = await problem(response);
  t.match(document, { status, code, retryable, type: `urn:idempotency-gateway:problem:${code}` });
  t.ok(document.title && document.detail);
}
