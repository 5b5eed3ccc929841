import t from "tap";
import type { RecordKey } from "../../src/model.js";
import type { RecordStore } from "../../src/store/record-store.js";
import { sampleAdmin, seed } from "./sample-admin.js";

const json = { "content-type": "application/json" };

type App = ReturnType<typeof sampleAdmin>["app"];

const remove = (app: App, id: string, headers: Record<string, string> = {}, body?: object) =>
  app.inject({
    method: "DELETE",
    url: `/v1/records/${id}`,
    headers: { ...headers, ...(body === undefined ? {} : json) },
    ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
  });

const resolve = (app: App, id: string, body: object, headers: Record<string, string> = {}) =>
  app.inject({
    method: "POST",
    url: `/v1/records/${id}/resolve`,
    headers: { ...json, ...headers },
    payload: JSON.stringify(body),
  });

async function etagOf(app: App, id: string): Promise<string> {
  return String((await app.inject(`/v1/records/${id}`)).headers.etag);
}

t.test("a record has an ETag that changes with it, whether or not its body is asked for", async (t) => {
  const { app, store } = sampleAdmin();
  const id = await seed(store, "in_doubt");
  const before = await etagOf(app, id);
  t.match(before, /^"[\w-]{22}"$/);
  t.equal(await etagOf(app, id), before);
  t.equal((await app.inject(`/v1/records/${id}?body=true`)).headers.etag, before);
  await resolve(app, id, { outcome: "done", response: { status: 200 } });
  t.not(await etagOf(app, id), before);
  t.not(await etagOf(app, await seed(store, "in_doubt")), before);
});

t.test("a decision on the record that was seen is carried out", async (t) => {
  const { app, store } = sampleAdmin();
  const doubted = await seed(store, "in_doubt");
  const seen = { "if-match": await etagOf(app, doubted) };
  t.equal((await resolve(app, doubted, { outcome: "not-done" }, seen)).statusCode, 200);
  for (const wrap of [(tag: string) => tag, (tag: string) => `W/${tag}`, (tag: string) => `"x", ${tag}`, () => "*"]) {
    const id = await seed(store, "completed");
    t.equal((await remove(app, id, { "if-match": wrap(await etagOf(app, id)) })).statusCode, 204);
  }
});

t.test("a decision on a record that has moved on is refused before anything is asked of the store", async (t) => {
  const { app, store, audits } = sampleAdmin();
  const id = await seed(store, "in_doubt");
  const stale = { "if-match": await etagOf(app, id) };
  await resolve(app, id, { outcome: "done", response: { status: 202 } });
  audits.length = 0;
  for (const answer of [await resolve(app, id, { outcome: "not-done" }, stale), await remove(app, id, stale)]) {
    t.equal(answer.statusCode, 412);
    t.match(answer.json(), { code: "record-changed", retryable: false, detail: /It is completed now/ });
  }
  t.strictSame(audits, [], "nothing was written");
  t.equal((await store.peek(id as RecordKey, false))?.status, 202);
  t.equal((await remove(app, "a".repeat(64), stale)).statusCode, 404);
  t.equal((await remove(app, id, { "if-match": "not a tag" })).statusCode, 400);
});

t.test("who is quicker between the look and the write is found by the store, and told", async (t) => {
  let inBetween: ((id: string) => Promise<unknown>) | undefined;
  const { app, store, audits } = sampleAdmin({}, (store: RecordStore) => {
    const { forget, resolve } = store;
    store.forget = async (key, seen) => {
      await inBetween?.(key);
      return forget.call(store, key, seen);
    };
    const decide = resolve.bind(store);
    store.resolve = async (key, resolution, seen) => {
      if (seen !== undefined) await inBetween?.(key);
      return decide(key, resolution, seen);
    };
    return store;
  });
  inBetween = (id) => store.resolve(id as RecordKey, { kind: "notDone" }).then(() => seed(store, "in_doubt", { id }));
  for (const decision of ["resolve", "delete"] as const) {
    const id = await seed(store, "in_doubt");
    const seen = { "if-match": await etagOf(app, id) };
    const answer =
      decision === "delete" ? await remove(app, id, seen) : await resolve(app, id, { outcome: "not-done" }, seen);
    t.equal(answer.statusCode, 412, decision);
    t.equal(audits.at(-1)?.result, "moved");
    t.equal((await store.peek(id as RecordKey, false))?.attempts, 2, "it is the other one's still");
  }
});

t.test("a reason is in the audit as it was given", async (t) => {
  const { app, store, audits } = sampleAdmin();
  const reason = "OPS-204: <b>asked</b> the API, “nothing there”";
  const doubted = await seed(store, "in_doubt");
  await resolve(app, doubted, { outcome: "not-done", reason });
  const stored = await seed(store, "completed");
  t.equal((await remove(app, stored, {}, { reason })).statusCode, 204);
  t.equal((await remove(app, await seed(store, "completed"), {}, {})).statusCode, 204);
  t.strictSame(
    audits.map(({ action, reason }) => [action, reason]),
    [
      ["resolve not-done", reason],
      ["delete", reason],
      ["delete", undefined],
    ],
  );
});

t.test("a reason is one line of text, and anything else in the body of a deletion is refused", async (t) => {
  const { app, store, audits } = sampleAdmin();
  const id = await seed(store, "in_doubt");
  for (const reason of [7, "two\nlines", "\u001b[31m", "x".repeat(501), "a\u2028b", null]) {
    t.equal(
      (await resolve(app, id, { outcome: "not-done", reason })).statusCode,
      400,
      escape(String(reason)).slice(0, 20),
    );
    t.equal((await remove(app, id, {}, { reason })).statusCode, 400, escape(String(reason)).slice(0, 20));
  }
  t.equal((await remove(app, id, {}, { because: "x" })).statusCode, 400);
  t.equal((await remove(app, id, {}, ["x"])).statusCode, 400);
  t.strictSame(audits, []);
  t.equal((await store.peek(id as RecordKey, false))?.state, "in_doubt");
});
