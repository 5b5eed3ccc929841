import { randomBytes } from "node:crypto";
import t from "tap";
import type { Config } from "../../src/config/config.js";
import { EventHub, type Events } from "../../src/events.js";
import { logEvents } from "../../src/observe/event-log.js";
import { openLog } from "../../src/observe/log.js";
import { publicPath } from "../../src/rules/public-path.js";
import { sampleRoute } from "../sample-config.js";

const recordId = "0123456789abcdef".repeat(4);
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const request: Events["request"] = {
  route: "pay",
  result: "executed",
  method: "POST",
  path: "/v1/pay",
  status: 201,
  durationMs: 12.3456,
  key: recordId,
  code: undefined,
  instance: undefined,
  clientAddress: "203.0.113.7",
  traceparent,
  hungUp: false,
};

type Line = Record<string, unknown>;

async function opened(level: Config["logging"]["level"] = "info", format: "json" | "pretty" = "json") {
  const hub = new EventHub();
  const written: string[] = [];
  logEvents(hub, await openLog({ level, format }, { write: (line: string) => void written.push(line) }));
  const lines = () => written.splice(0).map((line) => JSON.parse(line) as Line);
  return { hub, written, lines };
}

t.test("a request is one line with the fields operators search by", async (t) => {
  const { hub, lines } = await opened();
  hub.emit("request", request);
  const [line, ...more] = lines();
  t.strictSame(more, []);
  t.match(line!.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const { time: _, ...rest } = line!;
  t.strictSame(rest, {
    level: "info",
    pid: process.pid,
    method: "POST",
    path: "/v1/pay",
    route: "pay",
    result: "executed",
    status: 201,
    duration_ms: 12.346,
    key: "01234567",
    client: "203.0.113.7",
    traceparent,
    hung_up: false,
    msg: "request",
  });
});

t.test("a refused request names its code and its instance", async (t) => {
  const { hub, lines } = await opened();
  const instance = "urn:uuid:2f1f7b1e-5a3f-4b8e-9d3c-0f6f5a1c2b3d";
  hub.emit("request", { ...request, result: "mismatch", status: 422, code: "key-reused", instance, key: undefined });
  const [line] = lines();
  t.match(line, { level: "info", code: "key-reused", instance, result: "mismatch" });
  t.notOk("key" in line!);
});

t.test("an unknown outcome, an error and every 5xx is a warning", async (t) => {
  const { hub, lines } = await opened("warn");
  hub.emit("request", { ...request, result: "outcome_unknown", status: 409 });
  hub.emit("request", { ...request, result: "error", status: 502 });
  hub.emit("request", { ...request, status: 500 });
  hub.emit("request", { ...request, status: 499 });
  hub.emit("request", request);
  t.strictSame(
    lines().map(({ level, status }) => [level, status]),
    [
      ["warn", 409],
      ["warn", 502],
      ["warn", 500],
    ],
  );
});

t.test("what the level leaves out is not listened to", async (t) => {
  const listenedTo = async (level: Config["logging"]["level"]) => {
    const hub = new EventHub();
    const names: string[] = [];
    hub.on = (name) => void names.push(name);
    logEvents(hub, await openLog({ level, format: "json" }, { write: () => {} }));
    return names;
  };
  t.ok((await listenedTo("warn")).includes("request"));
  const quiet = await listenedTo("error");
  t.notOk(quiet.includes("request"));
  t.notOk(quiet.includes("inDoubt"));
  t.ok(quiet.includes("store"));
  t.notOk((await listenedTo("fatal")).includes("store"));
});

t.test("trouble in the background has the level it deserves", async (t) => {
  const { hub, lines } = await opened();
  hub.emit("inDoubt", { route: "pay", cause: "lease_expired", key: recordId });
  hub.emit("leaseLost", { route: "pay", key: recordId });
  hub.emit("fault", { what: "the response could not be stored", route: "pay", key: recordId, error: new Error("no") });
  hub.emit("reload", { result: "success" });
  hub.emit("reload", { result: "failure" });
  const [doubt, lease, fault, success, failure] = lines();
  t.match(doubt, { level: "warn", route: "pay", key: "01234567", cause: "lease_expired" });
  t.match(lease, { level: "warn", route: "pay", key: "01234567" });
  t.match(fault, { level: "error", msg: "the response could not be stored", error: { name: "Error", message: "no" } });
  t.equal(success!.level, "info");
  t.equal(failure!.level, "error");
});

t.test("who changed a record is written at every level but silent", async (t) => {
  const audit = { who: "alice@example.com", action: "delete", key: recordId, result: "forgotten" };
  for (const level of ["info", "warn", "fatal"] as const) {
    const { hub, lines } = await opened(level);
    hub.emit("audit", audit);
    t.match(lines(), [{ level: "info", who: "alice@example.com", action: "delete", key: "01234567" }], level);
  }
  const { hub, lines } = await opened("silent");
  hub.emit("audit", audit);
  t.strictSame(lines(), []);
});

t.test("a store that falls silent is a line, and one more when it is back", async (t) => {
  const { hub, lines } = await opened();
  const asked = (failed: boolean) => hub.emit("store", { operation: "claim", durationMs: 1, failed });
  asked(false);
  for (let time = 0; time < 100; time++) asked(true);
  t.match(lines(), [{ level: "error", operation: "claim" }]);
  asked(false);
  asked(false);
  t.match(lines(), [{ level: "info", msg: "the record store answers again" }]);
});

t.test("a key or scope value in the path is shown as the route's pattern", async (t) => {
  const path = { from: "path", name: "id" } as const;
  t.equal(publicPath(sampleRoute("pay"), "/v1/pay"), "/v1/pay");
  t.equal(publicPath(sampleRoute("pay", null), "/v1/pay/7"), "/v1/pay/7");
  const keyed = sampleRoute("keyed", { key: { ...sampleRoute("pay").policy!.key, sources: [path] } });
  t.equal(publicPath(keyed, "/v1/keyed/sk_secret"), "/v1/keyed");
  const scoped = sampleRoute("scoped", { scope: [{ ...path, optional: false }] });
  t.equal(publicPath(scoped, "/v1/scoped/sk_secret"), "/v1/scoped");
});

t.test("no line of a rich day holds a secret, in either format", async (t) => {
  const secret = `sk${randomBytes(8).toString("hex")}`;
  for (const format of ["json", "pretty"] as const) {
    const { hub, written } = await opened("trace", format);
    hub.emit("request", { ...request, key: `01234567${secret}`, traceparent: secret });
    const strangers = { ...request, headers: { authorization: secret }, body: secret, query: `key=${secret}` };
    hub.emit("request", strangers);
    hub.emit("inDoubt", { route: "pay", cause: "reset", key: `01234567${secret}` });
    hub.emit("leaseLost", { route: "pay", key: `01234567${secret}` });
    hub.emit("audit", { who: "token", action: "resolve done", key: `01234567${secret}`, result: "resolved" });
    for (const error of errorsWith(secret)) {
      hub.emit("fault", { what: `cannot ask redis://:${secret}@db:6379`, key: `01234567${secret}`, error });
    }
    const all = written.join("");
    t.match(all, "01234567");
    t.match(all, "deep down");
    t.notMatch(all, secret, format);
  }
});

/** As ioredis, undici and node hand them over. */
function errorsWith(secret: string): Error[] {
  const reply = Object.assign(new Error("READONLY You can't write against a read only replica."), {
    command: { name: "evalsha", args: [secret] },
  });
  const quoted = new Error(`ERR unknown command 'EVALSHA', with args beginning with: '${secret}' '1'\n'${secret}'`);
  const address = new Error(`connect ECONNREFUSED https://user:${secret}@api.internal/probe?key=${secret}&b=${secret}`);
  const nested = new Error("outer", {
    cause: new Error("middle", { cause: Object.assign(address, { body: secret }) }),
  });
  const deep = new Error("deep down", { cause: nested });
  return [reply, quoted, address, deep];
}

t.test("an error is told with its code, its frames and its causes, to an end", async (t) => {
  const { hub, lines } = await opened();
  const loop: Error & { cause?: unknown } = new Error("round and round");
  loop.cause = loop;
  hub.emit("fault", { what: "a", error: Object.assign(new Error("gone"), { code: "ECONNRESET" }) });
  hub.emit("fault", { what: "b", error: loop });
  const [first, second] = lines();
  t.match(first, { error: { name: "Error", code: "ECONNRESET", message: "gone", stack: /^ {4}at / } });
  t.match(second, { error: { message: "round and round", cause: { message: "round and round" } } });
});

t.test("a path of any length and any bytes stays one line", async (t) => {
  const { hub, written } = await opened();
  hub.emit("request", { ...request, path: `/${"a".repeat(5000)}\n{"level":"fatal"}` });
  hub.emit("request", { ...request, path: '/"\n\u001b[31m' });
  t.equal(written.length, 2);
  t.ok(written[0]!.length < 1700);
  t.equal(written.join("").split("\n").length, 3);
  t.notMatch(written[1], "\u001b");
});

t.test("pretty lines are for people", async (t) => {
  const { hub, written } = await opened("info", "pretty");
  hub.emit("request", request);
  t.equal(written.length, 1);
  t.match(written[0], /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: request \{.*"path":"\/v1\/pay"/);
  t.notMatch(written[0], "\u001b");
});
