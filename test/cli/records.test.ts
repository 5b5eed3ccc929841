import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import t, { type Test } from "tap";
import { records } from "../../src/cli/records.js";
import { ageText, printable, recordTable } from "../../src/cli/records-text.js";
import { type SampleAdmin, sampleAdmin, seed } from "../admin/sample-admin.js";

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

type Env = Record<string, string>;

async function ran(args: string[], env: Env = {}, cwd = ".", confirm = async (_: string) => true): Promise<Ran> {
  const out: string[] = [];
  const err: string[] = [];
  const stdout = { write: (text: string) => out.push(text) };
  const stderr = { write: (text: string) => err.push(text) };
  const code = await records(args, { stdout, stderr, env, cwd, confirm });
  return { code, out: out.join(""), err: err.join("") };
}

/** A listening admin port, and the command bound to it. */
async function opened(t: Test, sample: SampleAdmin = sampleAdmin()) {
  await sample.app.listen({ host: "127.0.0.1", port: 0 });
  t.teardown(() => sample.app.close());
  const { port } = sample.app.server.address() as AddressInfo;
  const admin = ["--admin", `http://127.0.0.1:${port}`];
  const run = (...args: string[]) => ran([...args, ...admin]);
  return { ...sample, port, admin, run };
}

t.test("a list is a table for people", async (t) => {
  const { store, run } = await opened(t);
  t.strictSame(await run("list"), { code: 0, out: "no records\n", err: "" });
  const id = await seed(store, "in_doubt");
  const { code, out } = await run("list");
  t.equal(code, 0);
  const [head, row, end] = out.split("\n");
  t.match(head, /^CREATED +AGE +ROUTE +STATE +ATTEMPTS +STATUS +CAUSE +ID$/);
  t.match(row, new RegExp(`^2023-11-14 22:13:20  \\d+d +pay +in_doubt +1 +- +timeout +${id.slice(0, 12)}$`));
  t.equal(end, "");
});

t.test("a list is filtered, and JSON for programs", async (t) => {
  const { store, run } = await opened(t);
  const doubtful = await seed(store, "in_doubt", { key: "a" });
  const done = await seed(store, "completed", { key: "b", route: "refund" });
  const idsOf = async (...args: string[]) =>
    JSON.parse((await run("list", "--json", ...args)).out).records.map((record: { id: string }) => record.id);
  t.strictSame(await idsOf("--state", "in_doubt"), [doubtful]);
  t.strictSame(await idsOf("--route", "refund"), [done]);
  t.strictSame(await idsOf("--key", "b"), [done]);
  t.strictSame(await idsOf("--key", "c"), []);
});

t.test("a list that is longer says so, and goes to its end on request", async (t) => {
  const { store, run } = await opened(t);
  for (let n = 0; n < 5; n++) await seed(store, "completed");
  const short = await run("list", "--limit", "2");
  t.equal(short.out.trimEnd().split("\n").length, 3);
  t.match(short.err, "there are more");
  const all = await run("list", "--limit", "2", "--all");
  t.equal(all.out.trimEnd().split("\n").length, 6);
  t.equal(all.err, "");
});

t.test("a record is shown by the beginning of its id, with its response on request", async (t) => {
  const { store, run } = await opened(t);
  const id = await seed(store, "completed");
  const plain = await run("get", id.slice(0, 8));
  t.equal(plain.code, 0);
  t.match(plain.out, `id          ${id}\n`);
  t.match(plain.out, "state       completed\n");
  t.notMatch(plain.out, "Set-Cookie");
  const whole = await run("get", id, "--body");
  t.match(
    whole.out,
    '\n\n201 Created\nContent-Type: application/json\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n{"id":9007199254740993}\n',
  );
  t.match(JSON.parse((await run("get", id, "--body", "--json")).out), { id, response: { status: 201 } });
  t.match((await run("get", await seed(store, "in_doubt"), "--body")).out, "no stored response");
});

t.test("a stored response cannot steer the terminal", async (t) => {
  const { store, run } = await opened(t);
  const response = {
    status: 200,
    reason: "",
    headers: ["X-Title", "\x9b2J"],
    body: Buffer.from("one\u001b]0;evil\u0007\ntwo\tthree\u202e"),
    trailers: [],
  };
  const { out } = await run("get", await seed(store, "completed", { response }), "--body");
  t.match(out, "one\\u{1b}]0;evil\\u{7}\ntwo\tthree\\u{202e}\n");
  t.match(out, "X-Title: \\u{9b}2J");
  t.equal(printable("Grüße, 世界 👍"), "Grüße, 世界 👍");
});

t.test("an id that is short, unknown or not unique is refused", async (t) => {
  const { store, run } = await opened(t);
  t.equal((await run("get", "abc")).code, 2);
  t.equal((await run("get", "not-hexadecimal")).code, 2);
  const unknown = await run("get", "0123456789");
  t.strictSame([unknown.code, unknown.err], [1, "records: no record's id begins with 0123456789\n"]);
  const tail = () => Math.random().toString(16).slice(2, 10).padEnd(8, "0");
  for (let n = 0; n < 2; n++) await seed(store, "completed", { id: "abcdef0123".padEnd(56, String(n)) + tail() });
  const twice = await run("delete", "abcdef0123");
  t.equal(twice.code, 1);
  t.match(twice.err, "the ids of 2 records begin with abcdef0123; give more digits");
  t.equal((await run("get", "abcdef01230000")).code, 0);
});

t.test("deleting asks first, unless it was told to be sure", async (t) => {
  const { store, admin, run } = await opened(t);
  const id = await seed(store, "completed");
  let asked = "";
  const refuse = async (question: string) => {
    asked = question;
    return false;
  };
  const refused = await ran(["delete", id, ...admin], {}, ".", refuse);
  t.strictSame([refused.code, refused.err], [1, "records: nothing was deleted\n"]);
  t.match(asked, `Forget ${id}?`);
  t.ok(await store.peek(id as never, false));
  const sure = await ran(["delete", id, "--yes", ...admin], {}, ".", refuse);
  t.strictSame([sure.code, sure.out], [0, `deleted ${id}\n`]);
  t.equal((await run("delete", id)).code, 1, "there is nothing left to delete");
});

t.test("why a record is deleted or resolved stands beside who did it", async (t) => {
  const { store, run, audits } = await opened(t);
  const [gone, free] = [await seed(store, "completed"), await seed(store, "in_doubt", { key: "other" })];
  t.equal((await run("delete", gone, "--yes", "--reason", "sent twice by hand")).code, 0);
  t.equal((await run("resolve", free, "--not-done", "--reason", "not in the ledger")).code, 0);
  t.match(audits, [
    { action: "delete", reason: "sent twice by hand" },
    { action: "resolve", reason: "not in the ledger" },
  ]);
});

t.test("a record in flight is not deleted, and the reason is told", async (t) => {
  const { store, run } = await opened(t);
  const { code, out, err } = await run("delete", await seed(store, "in_flight"));
  t.strictSame([code, out], [1, ""]);
  t.match(err, /^records: Its request is being processed.* \(409 record-in-flight\)\n$/);
});

t.test("a record in doubt is resolved either way", async (t) => {
  const { store, run } = await opened(t);
  const free = await seed(store, "in_doubt");
  t.match(await run("resolve", free, "--not-done"), { code: 0, out: `resolved ${free} as not-done\n` });
  t.equal(await store.peek(free as never, false), undefined);

  const done = await seed(store, "in_doubt");
  const headers = ["--header", "Content-Type: text/plain", "-H", "Set-Cookie: a=1: b", "-H", "Set-Cookie: c"];
  const answer = await run("resolve", done.slice(0, 12), "--done", "--status", "201", ...headers, "--body", "héllo");
  t.strictSame(answer, { code: 0, out: `resolved ${done} as done\n`, err: "" });
  t.match((await store.peek(done as never, true))?.response, {
    status: 201,
    headers: ["Content-Type", "text/plain", "Set-Cookie", "a=1: b", "Set-Cookie", "c"],
    body: Buffer.from("héllo"),
  });

  const again = await run("resolve", done, "--not-done");
  t.equal(again.code, 1);
  t.match(again.err, "409 record-not-in-doubt");
});

t.test("a response's body may be the bytes of a file", async (t) => {
  const { store, admin } = await opened(t);
  const bytes = Buffer.from([0, 255, 10, 128]);
  const cwd = t.testdir({ "answer.bin": bytes });
  const id = await seed(store, "in_doubt");
  const args = ["resolve", id, "--done", "--status", "200", "--body"];
  const missing = await ran([...args, "@nothing.bin", ...admin], {}, cwd);
  t.equal(missing.code, 1);
  t.match(missing.err, "nothing.bin");
  t.equal((await ran([...args, "@answer.bin", ...admin], {}, cwd)).code, 0);
  t.strictSame((await store.peek(id as never, true))?.response?.body, bytes);
});

t.test("the token is the option's, else the environment's, else the configuration's", async (t) => {
  const { port, admin } = await opened(t, sampleAdmin({ admin: { host: "127.0.0.1", port: 0, token: "right" } }));
  const refused = await ran(["list", ...admin]);
  t.equal(refused.code, 1);
  t.match(refused.err, "(401 unauthorized)");
  t.equal((await ran(["list", ...admin, "--token", "right"])).code, 0);
  t.equal((await ran(["list", ...admin], { ADMIN_TOKEN: "right" })).code, 0);
  t.equal((await ran(["list", ...admin, "--token", "right"], { ADMIN_TOKEN: "wrong" })).code, 0);

  const yaml = (token: string) =>
    `admin: { port: ${port}, token: ${token} }\nroutes: [{ name: a, match: { path: /* }, upstream: { url: http://localhost:1 } }]\n`;
  const cwd = t.testdir({
    "gateway.yaml": yaml("right"),
    "wrong.yaml": "routes: 7\nadmn: 1\n",
    "other.yaml": yaml("wrong"),
  });
  t.equal((await ran(["list", "--config", "gateway.yaml"], {}, cwd)).code, 0);
  t.equal((await ran(["list", "-c", join(cwd, "gateway.yaml")])).code, 0);
  t.equal((await ran(["list", "--config", "other.yaml"], {}, cwd)).code, 1);
  t.equal((await ran(["list", "--config", "other.yaml"], { ADMIN_TOKEN: "right" }, cwd)).code, 0);
  const wrong = await ran(["list", "--config", "wrong.yaml"], {}, cwd);
  t.equal(wrong.code, 1);
  t.match(wrong.err, /wrong\.yaml:2:1 admn: /);
  const absent = await ran(["list", "--config", "absent.yaml"], {}, cwd);
  t.equal(absent.code, 1);
  t.match(absent.err, /^records: .*absent\.yaml.*\n$/);
});

t.test("a wrong command line is told with the usage, and exits 2", async (t) => {
  const id = "a".repeat(64);
  const cases: [args: string[], message: string][] = [
    [[], "a command is missing"],
    [["lst"], 'there is no command "records lst"'],
    [["list", "--sate", "x"], "--sate"],
    [["list", "more"], "takes no more"],
    [["get"], "one record id is needed"],
    [["get", id, id], "one record id is needed"],
    [["resolve", id], "either --done or --not-done"],
    [["resolve", id, "--done", "--not-done"], "either --done or --not-done"],
    [["resolve", id, "--done"], "--done needs --status"],
    [["resolve", id, "--done", "--status", "99"], "--done needs --status"],
    [["resolve", id, "--not-done", "--status", "200"], "go with --done"],
    [["resolve", id, "--done", "--status", "200", "--header", "nothing"], "--header takes"],
  ];
  for (const [args, message] of cases) {
    const { code, out, err } = await ran(args);
    t.strictSame([code, out], [2, ""], args.join(" "));
    t.match(err, message);
    t.match(err, "usage: idempotency-gateway records");
  }
  const help = await ran(["--help"]);
  t.equal(help.code, 0);
  t.match(help.out, "usage: idempotency-gateway records");
});

t.test("an admin port that is not there, or is none, is one plain line", async (t) => {
  const server = createServer((_, response) => response.end("<html>hello</html>"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stranger = await ran(["list", "--admin", url]);
  t.strictSame([stranger.code, stranger.err], [1, `records: ${url} is not an admin port: it did not answer JSON\n`]);
  await new Promise((resolve) => server.close(resolve));

  const nobody = await ran(["list", "--admin", url]);
  t.equal(nobody.code, 1);
  t.match(nobody.err, /^records: the admin port at http:\S+ cannot be reached: connect ECONNREFUSED .*\n$/);
  const senseless = await ran(["list", "--admin", "localhost:9090"]);
  t.equal(senseless.code, 1);
  t.match(senseless.err, "write http://HOST:PORT");
});

t.test("a token does not follow a redirect", async (t) => {
  let hits = 0;
  const thief = createServer((_, response) => {
    hits++;
    response.end("{}");
  });
  await new Promise<void>((resolve) => thief.listen(0, "127.0.0.1", resolve));
  const to = `http://127.0.0.1:${(thief.address() as AddressInfo).port}/`;
  const server = createServer((_, response) => response.writeHead(302, { location: to }).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => [server, thief].forEach((one) => void one.close()));
  const { code } = await ran([
    "list",
    "--admin",
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    "--token",
    "x",
  ]);
  t.equal(code, 1);
  t.equal(hits, 0);
});

t.test("ages are short, and the table's columns are as wide as they need be", async (t) => {
  t.strictSame([-5000, 59_000, 60_000, 7_200_000, 200_000_000].map(ageText), ["0s", "59s", "1m", "2h", "2d"]);
  const record = {
    id: "a".repeat(64),
    route: "a-rather-long-name",
    namespace: "",
    fingerprint: "",
    state: "completed",
  };
  const rest = {
    attempts: 1,
    status: 201,
    cause: null,
    createdAt: "2026-01-02T03:04:05.678Z",
    updatedAt: "",
    expiresAt: "",
  };
  const table = recordTable([{ ...record, ...rest } as never], Date.parse("2026-01-02T03:05:06Z"));
  t.equal(
    table,
    [
      "CREATED              AGE  ROUTE               STATE      ATTEMPTS  STATUS  CAUSE  ID",
      "2026-01-02 03:04:05  1m   a-rather-long-name  completed  1         201     -      aaaaaaaaaaaa",
      "",
    ].join("\n"),
  );
});
