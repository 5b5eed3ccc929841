import t from "tap";
import { sampleAdmin, seed } from "./sample-admin.js";

type Json = Record<string, unknown>;
const get = async (app: ReturnType<typeof sampleAdmin>["app"], url: string) => (await app.inject(url)).json();

t.test("a record is shown with exactly the promised members", async (t) => {
  const { app, store } = sampleAdmin();
  const id = await seed(store, "completed");
  const answer = await app.inject(`/v1/records/${id}`);
  t.equal(answer.statusCode, 200);
  t.equal(answer.headers["cache-control"], "no-store");
  t.match(answer.headers["content-type"], "application/json");
  t.strictSame(answer.json(), {
    id,
    route: "pay",
    namespace: "pay",
    state: "completed",
    fingerprint: "f1".repeat(32),
    attempts: 1,
    status: 201,
    cause: null,
    createdAt: "2023-11-14T22:13:20.000Z",
    updatedAt: "2023-11-14T22:13:20.000Z",
    expiresAt: "2023-11-15T22:13:20.000Z",
  });
  t.strictSame(await get(app, `/v1/records/${id.toUpperCase()}?body=false`), answer.json());
});

t.test("the stored response is shown on request, repeated headers in order, text as text", async (t) => {
  const { app, store } = sampleAdmin();
  const shown = await get(app, `/v1/records/${await seed(store, "completed")}?body=true`);
  t.strictSame(shown.response, {
    status: 201,
    reason: "Created",
    headers: [
      ["Content-Type", "application/json"],
      ["Set-Cookie", "a=1"],
      ["Set-Cookie", "b=2"],
    ],
    body: '{"id":9007199254740993}',
    bodyEncoding: "utf8",
  });
});

t.test("a body that is no text is shown as base64", async (t) => {
  const { app, store } = sampleAdmin();
  const body = Buffer.from([0xff, 0xfe, 0x00, 0x80]);
  const response = { status: 200, reason: "", headers: [], body, trailers: ["X-Sum", "1"] };
  const shown = await get(app, `/v1/records/${await seed(store, "completed", { response })}?body=true`);
  t.strictSame(shown.response, {
    status: 200,
    reason: "",
    headers: [],
    body: "//4AgA==",
    bodyEncoding: "base64",
    trailers: [["X-Sum", "1"]],
  });
});

t.test("a record without a response says so", async (t) => {
  const { app, store } = sampleAdmin();
  for (const state of ["in_flight", "in_doubt", "not_replayable"] as const) {
    const shown = await get(app, `/v1/records/${await seed(store, state)}?body=true`);
    t.equal(shown.response, null, state);
    t.equal(shown.state, state);
  }
});

t.test("a list is filtered by route, state, key and the beginning of the id", async (t) => {
  const { app, store } = sampleAdmin();
  const a = await seed(store, "completed", { key: "order-1" });
  const b = await seed(store, "in_doubt", { key: "order-1", route: "refund" });
  const c = await seed(store, "in_flight", { key: "order-2" });
  const ids = async (query: string) =>
    (await get(app, `/v1/records?${query}`)).records.map((record: Json) => record.id).sort();
  t.strictSame(await ids(""), [a, b, c].sort());
  t.strictSame(await ids("route=refund"), [b]);
  t.strictSame(await ids("state=in_flight"), [c]);
  t.strictSame(await ids("key=order-1"), [a, b].sort());
  t.strictSame(await ids("key=order-1&state=in_doubt"), [b]);
  t.strictSame(await ids("key=order"), []);
  t.strictSame(await ids(`key=${encodeURIComponent('"order-2"')}`), [c], "the quoted form is the same key");
  t.strictSame(await ids(`id=${c.slice(0, 8).toUpperCase()}`), [c]);
  t.strictSame(await ids(`id=${c}`), [c]);
  t.strictSame(
    await ids("route=&key=&state=&limit=&cursor="),
    [a, b, c].sort(),
    "an empty field of a form filters nothing",
  );
  t.notMatch((await app.inject("/v1/records")).body, "order-1");
});

t.test("a lease that ran out is listed in doubt", async (t) => {
  const { app, store } = sampleAdmin();
  await seed(store, "in_flight");
  store.passTime(15_000);
  t.match((await get(app, "/v1/records?state=in_doubt")).records, [{ state: "in_doubt", cause: "lease_expired" }]);
});

t.test("pages follow one another, newest first, without a gap or a repeat", async (t) => {
  const { app, store } = sampleAdmin();
  const seeded: string[] = [];
  for (let n = 0; n < 7; n++) {
    seeded.unshift(await seed(store, "completed"));
    store.passTime(1000);
  }
  const found: string[] = [];
  let cursor: string | null = "";
  for (let page = 0; page < 10 && cursor !== null; page++) {
    const answer: { records: Json[]; cursor: string | null } = await get(app, `/v1/records?limit=3&cursor=${cursor}`);
    t.ok(answer.records.length <= 3);
    found.push(...answer.records.map((record) => String(record.id)));
    cursor = answer.cursor;
  }
  t.strictSame(found, seeded);
});

t.test("a store that searches in small steps still fills the page", async (t) => {
  let asked = 0;
  const { app, store } = sampleAdmin({}, (store) => {
    const list = store.list.bind(store);
    // One record is looked at for each call, whether it fits or not.
    store.list = async ({ limit, cursor, keyHash }) => {
      asked++;
      const page = await list({ limit: Math.min(1, limit), cursor });
      return { ...page, records: page.records.filter((record) => record.keyHash === keyHash) };
    };
    return store;
  });
  for (let n = 0; n < 20; n++) {
    await seed(store, "completed", { key: n % 10 === 0 ? "wanted" : "other" });
    store.passTime(1);
  }
  const { records, cursor } = await get(app, "/v1/records?key=wanted");
  t.equal(records.length, 2);
  t.equal(cursor, null);
  t.equal(asked, 20);
});

t.test("a query that is not right is refused, and says how", async (t) => {
  const { app, store } = sampleAdmin();
  for (let n = 0; n < 3; n++) await seed(store, "completed");
  const { cursor } = await get(app, "/v1/records?limit=1");
  const cases: Record<string, RegExp> = {
    "stat=in_doubt": /no parameter "stat"; known are route/,
    "state=doubtful": /"state" is one of in_flight, completed, in_doubt, not_replayable/,
    "state=in_doubt&state=completed": /"state" is given more than once/,
    "limit=0": /from 1 to 1000/,
    "limit=1001": /from 1 to 1000/,
    "limit=ten": /from 1 to 1000/,
    "id=abc": /8 to 64 hexadecimal digits/,
    "id=zzzzzzzz": /8 to 64 hexadecimal digits/,
    "cursor=AAAA": /"cursor" is not one/,
    [`cursor=${cursor}x`]: /"cursor" is not one/,
    [`cursor=${cursor}&route=pay`]: /"cursor" is not one/,
  };
  for (const [query, detail] of Object.entries(cases)) {
    const answer = await app.inject(`/v1/records?${query}`);
    t.equal(answer.statusCode, 400, query);
    t.match(answer.json(), { code: "request-invalid", detail }, query);
  }
  t.equal(
    (await app.inject(`/v1/records?cursor=${cursor}&limit=2`)).statusCode,
    200,
    "another limit is no other query",
  );
  const { records } = await get(app, "/v1/records");
  t.equal((await app.inject(`/v1/records/${records[0].id}?body=yes`)).statusCode, 400);
});

t.test("deleting forgets a record, but not one in flight, and is audited", async (t) => {
  const { app, store, audits } = sampleAdmin();
  const remove = (id: string, headers = {}) => app.inject({ method: "DELETE", url: `/v1/records/${id}`, headers });
  const id = await seed(store, "completed");
  const first = await remove(id, { "x-forwarded-user": "alice", "content-type": "application/json" });
  t.equal(first.statusCode, 204);
  t.equal(first.body, "");
  t.equal((await app.inject(`/v1/records/${id}`)).statusCode, 404);
  t.equal((await remove(id)).statusCode, 404);

  const running = await seed(store, "in_flight");
  const refused = await remove(running);
  t.equal(refused.statusCode, 409);
  t.match(refused.json(), { code: "record-in-flight", retryable: true });
  t.equal((await app.inject(`/v1/records/${running}`)).statusCode, 200);
  t.strictSame(audits, [
    { who: "alice", action: "delete", key: id.slice(0, 8), result: "forgotten" },
    { who: "local", action: "delete", key: id.slice(0, 8), result: "absent" },
    { who: "local", action: "delete", key: running.slice(0, 8), result: "inFlight" },
  ]);
});

const resolve = (app: ReturnType<typeof sampleAdmin>["app"], id: string, payload: unknown, headers = {}) =>
  app.inject({
    method: "POST",
    url: `/v1/records/${id}/resolve`,
    headers: { "content-type": "application/json", ...headers },
    payload: JSON.stringify(payload),
  });

t.test("a record in doubt is resolved as done, with the response its clients get from then on", async (t) => {
  const { app, store, audits } = sampleAdmin({ admin: { host: "127.0.0.1", port: 0, token: "secret" } });
  const bearer = { authorization: "Bearer secret" };
  const id = await seed(store, "in_doubt");
  const response = {
    status: 201,
    reason: "Created",
    headers: { "Content-Type": "application/json", "X-Many": ["one", "two"] },
    body: '{"id":"grüß"}',
  };
  const answer = await resolve(app, id, { outcome: "done", response }, bearer);
  t.equal(answer.statusCode, 200);
  t.strictSame(answer.json(), { id, outcome: "done" });
  const view = await store.peek(id as never, true);
  t.equal(view?.state, "completed");
  t.strictSame(view?.response, {
    status: 201,
    reason: "Created",
    headers: ["Content-Type", "application/json", "X-Many", "one", "X-Many", "two"],
    body: Buffer.from('{"id":"grüß"}'),
    trailers: [],
  });
  t.equal(view!.expiresAtMs - view!.updatedAtMs, 86_400_000, "kept as long as the route keeps a response");
  t.strictSame(audits, [{ who: "token", action: "resolve done", key: id.slice(0, 8), result: "resolved" }]);
});

t.test("what a record shows can be given to another one", async (t) => {
  const { app, store } = sampleAdmin();
  const body = Buffer.from([0xff, 0x00]);
  const original = {
    status: 200,
    reason: "Fine",
    headers: ["Set-Cookie", "a=1", "Set-Cookie", "\xe9"],
    body,
    trailers: [],
  };
  const from = await seed(store, "completed", { response: original });
  const to = await seed(store, "in_doubt");
  const { response } = await get(app, `/v1/records/${from}?body=true`);
  t.equal((await resolve(app, to, { outcome: "done", response })).statusCode, 200);
  t.strictSame((await store.peek(to as never, true))?.response, original);
});

t.test("a record of a route that is gone is kept a day", async (t) => {
  const { app, store } = sampleAdmin({ routes: [] });
  const id = await seed(store, "in_doubt");
  t.equal((await resolve(app, id, { outcome: "done", response: { status: 204 } })).statusCode, 200);
  const view = await store.peek(id as never, true);
  t.equal(view!.expiresAtMs - view!.updatedAtMs, 86_400_000);
  t.match(view?.response, { status: 204, headers: [], body: Buffer.alloc(0) });
});

t.test("a record resolved as not done is free again", async (t) => {
  const { app, store, audits } = sampleAdmin();
  const id = await seed(store, "in_doubt");
  const answer = await resolve(app, id, { outcome: "not-done" });
  t.equal(answer.statusCode, 200);
  t.strictSame(answer.json(), { id, outcome: "not-done" });
  t.equal(await store.peek(id as never, false), undefined);
  t.match(audits, [{ action: "resolve not-done", result: "resolved" }]);
  t.equal((await resolve(app, id, { outcome: "not-done" })).statusCode, 404);
});

t.test("only a record in doubt is resolved", async (t) => {
  const { app, store } = sampleAdmin();
  for (const state of ["in_flight", "completed", "not_replayable"] as const) {
    const id = await seed(store, state);
    const answer = await resolve(app, id, { outcome: "not-done" });
    t.equal(answer.statusCode, 409, state);
    t.match(answer.json(), { code: "record-not-in-doubt", detail: new RegExp(`it is ${state}`) });
    t.equal((await store.peek(id as never, false))?.state, state);
  }
  t.equal((await resolve(app, "b".repeat(64), { outcome: "not-done" })).statusCode, 404);
});

t.test("a record that was settled between looking and writing is not overwritten", async (t) => {
  const { app, store, audits } = sampleAdmin({}, (store) => {
    const write = store.resolve.bind(store);
    store.resolve = async (key, resolution) => {
      await write(key, {
        kind: "done",
        retentionMs: 1000,
        response: { status: 200, reason: "", headers: [], body: Buffer.alloc(0), trailers: [] },
      });
      return write(key, resolution);
    };
    return store;
  });
  const id = await seed(store, "in_doubt");
  const answer = await resolve(app, id, { outcome: "not-done" });
  t.equal(answer.statusCode, 409);
  t.equal((await store.peek(id as never, false))?.status, 200);
  t.match(audits, [{ result: "notInDoubt" }]);
});

t.test("a decision that is not right is refused, says how, and changes nothing", async (t) => {
  const { app, store, audits } = sampleAdmin();
  const id = await seed(store, "in_doubt");
  const done = (response: unknown) => ({ outcome: "done", response });
  const cases: [payload: unknown, detail: RegExp][] = [
    [null, /the body is a JSON object/],
    [[], /the body is a JSON object/],
    [{}, /"outcome" is "done" or "not-done"/],
    [{ outcome: "maybe" }, /"outcome" is "done" or "not-done"/],
    [
      { outcome: "not-done", whence: "x", why: "y" },
      /the body has unknown members: whence, why; known are outcome, response/,
    ],
    [{ outcome: "not-done", response: { status: 200 } }, /goes with the outcome "done" only/],
    [{ outcome: "done" }, /"response" is a JSON object/],
    [done({}), /"response.status"/],
    [done({ status: "201" }), /"response.status"/],
    [done({ status: 199 }), /"response.status"/],
    [done({ status: 600 }), /"response.status"/],
    [done({ status: 200.5 }), /"response.status"/],
    [done({ status: 204, trailers: [["X-Sum", "1"]] }), /status 204 has no trailers/],
    [done({ status: 200, reason: "a\r\nb" }), /"response.reason"/],
    [done({ status: 204, body: "x" }), /status 204 has no body/],
    [done({ status: 304, body: "x" }), /status 304 has no body/],
    [done({ status: 200, body: { id: 1 } }), /"response.body" is a string/],
    [done({ status: 200, body: "x", bodyEncoding: "hex" }), /"response.bodyEncoding"/],
    [done({ status: 200, body: "not base64!", bodyEncoding: "base64" }), /is not base64/],
    [done({ status: 200, body: "x".repeat(1025) }), /up to 1024 bytes; this one has 1025/],
    [done({ status: 200, headers: "a: b" }), /"response.headers"/],
    [done({ status: 200, headers: { a: 1 } }), /"response.headers"/],
    [done({ status: 200, headers: [["a"]] }), /"response.headers"/],
    [done({ status: 200, headers: { "": "x" } }), /not the name of a header/],
    [done({ status: 200, headers: { "a b": "x" } }), /"a b" is not the name of a header/],
    [done({ status: 200, headers: { a: "x\r\nb: y" } }), /characters that no header may have/],
    [done({ status: 200, headers: { a: "€" } }), /characters that no header may have/],
    [done({ status: 200, headers: { "Transfer-Encoding": "chunked" } }), /"Transfer-Encoding" frames a message/],
    [done({ status: 200, trailers: { "Transfer-Encoding": "chunked" } }), /"Transfer-Encoding" frames a message/],
    [done({ status: 200, headers: { "transfer-encoding": "chunked" } }), /frames a message/],
    [done({ status: 200, headers: { Connection: "close" } }), /frames a message/],
    [done({ status: 200, headers: { "idempotent-replayed": "true" } }), /mark of a replay/],
  ];
  for (const [payload, detail] of cases) {
    const answer = await resolve(app, id, payload);
    t.equal(answer.statusCode, 400, JSON.stringify(payload)?.slice(0, 80));
    t.match(answer.json(), { code: "request-invalid", detail });
  }
  const polluted = await app.inject({
    method: "POST",
    url: `/v1/records/${id}/resolve`,
    headers: { "content-type": "application/json" },
    payload: '{"outcome":"not-done","__proto__":{"x":1}}',
  });
  t.equal(polluted.statusCode, 400);
  t.equal((await store.peek(id as never, false))?.state, "in_doubt");
  t.strictSame(audits, []);
});
