import t from "tap";
import { EventHub, type Events } from "../../src/events.js";
import { Recent, type Sighting } from "../../src/observe/recent.js";
import { sampleAdmin, seed } from "./sample-admin.js";

const seenAtMs = 1_700_000_001_000;

t.test("a timeline has what the store knows and what was seen, in their order", async (t) => {
  const sample = sampleAdmin();
  const id = await seed(sample.store, "completed");
  const request = { kind: "request" as const, method: "POST", status: 201, code: undefined, hungUp: false };
  sample.recall = {
    sinceMs: 1_699_999_999_000,
    processes: 3,
    silent: 1,
    seen: [
      { ...request, atMs: seenAtMs + 500, result: "replayed", durationMs: 2.04 },
      { ...request, atMs: seenAtMs, result: "executed", durationMs: 900 },
      { kind: "audit", atMs: seenAtMs + 900, who: "eve", action: "delete", result: "inFlight", reason: "why not" },
    ] as readonly Sighting[],
  };
  const { events, ...rest } = (await sample.app.inject(`/v1/records/${id}/timeline`)).json();
  t.strictSame(rest, { id, state: "completed", seen: { since: "2023-11-14T22:13:19.000Z", processes: 3, silent: 1 } });
  t.match(events, [
    { kind: "claimed", source: "record", at: "2023-11-14T22:13:20.000Z" },
    { kind: "stored", source: "record", status: 201, attempts: 1 },
    { kind: "request", source: "seen", result: "executed", begunAt: "2023-11-14T22:13:20.100Z" },
    { kind: "request", source: "seen", result: "replayed", durationMs: 2 },
    { kind: "audit", source: "seen", who: "eve", action: "delete", result: "inFlight", reason: "why not" },
  ]);
  t.equal(events.length, 5);
});

t.test("each state is told by the record itself, and a doubt once", async (t) => {
  const sample = sampleAdmin();
  const kindsOf = async (state: Parameters<typeof seed>[1]) => {
    const { events } = (await sample.app.inject(`/v1/records/${await seed(sample.store, state)}/timeline`)).json();
    return events.map(({ kind }: { kind: string }) => kind);
  };
  t.strictSame(await kindsOf("in_flight"), ["claimed"]);
  t.strictSame(await kindsOf("not_replayable"), ["claimed", "not_stored"]);
  const doubt = { kind: "inDoubt" as const, cause: "timeout", atMs: 1_700_000_000_200 };
  sample.recall = {
    ...sample.recall,
    seen: [doubt, { ...doubt, cause: "reset" }, { ...doubt, atMs: 1_700_000_100_000 }],
  };
  t.strictSame(
    await kindsOf("in_doubt"),
    ["claimed", "in_doubt", "in_doubt", "in_doubt"],
    "earlier and other doubts stay",
  );
});

t.test("what was seen of a record that is gone is still told; of one that never was, nothing", async (t) => {
  const sample = sampleAdmin();
  const url = `/v1/records/${"a".repeat(64)}/timeline`;
  t.equal((await sample.app.inject(url)).statusCode, 404);
  sample.recall = { ...sample.recall, seen: [{ kind: "leaseLost", atMs: seenAtMs }] };
  const { state, events } = (await sample.app.inject(url)).json();
  t.equal(state, null);
  t.match(events, [{ kind: "lease_lost", source: "seen" }]);
});

const request = (key: string | undefined, status: number): Events["request"] => ({
  route: "pay",
  result: "replayed",
  method: "POST",
  path: "/v1/pay",
  status,
  durationMs: 1,
  key,
  code: undefined,
  instance: undefined,
  clientAddress: undefined,
  traceparent: undefined,
  hungUp: false,
});

t.test("a process keeps the last things it saw, in their order, and says since when", async (t) => {
  const hub = new EventHub();
  const recent = new Recent(hub, 4);
  const beganMs = recent.of("aaaaaaaa").sinceMs;
  hub.emit("request", request("aaaaaaaa", 201));
  hub.emit("request", request(undefined, 200));
  hub.emit("inDoubt", { route: "pay", cause: "reset", key: "aaaaaaaabbbb" });
  hub.emit("request", request("bbbbbbbb", 202));
  t.equal(recent.of("aaaaaaaa").sinceMs, beganMs, "nothing is forgotten yet");
  t.match(recent.of("aaaaaaaa").seen, [
    { kind: "request", status: 201 },
    { kind: "inDoubt", cause: "reset" },
  ]);
  hub.emit("leaseLost", { route: "pay", key: "aaaaaaaa" });
  hub.emit("audit", { who: "eve", action: "delete", key: "aaaaaaaa", result: "forgotten", reason: "test" });
  const { sinceMs, seen } = recent.of("aaaaaaaa");
  t.match(seen, [{ kind: "inDoubt" }, { kind: "leaseLost" }, { kind: "audit", who: "eve", reason: "test" }]);
  t.equal(seen.length, 3);
  t.equal(sinceMs, seen[0]?.atMs, "known since the oldest that is left");
  t.equal(recent.of("bbbbbbbb").seen.length, 1);

  const busy = new Recent(hub);
  for (let n = 0; n < 600; n++) hub.emit("request", request("cccccccc", n));
  const told = busy.of("cccccccc");
  t.equal(told.seen.length, 500, "of a key that is repeated without end, the last");
  t.match(told.seen[0], { status: 100 });
  t.equal(told.sinceMs, told.seen[0]?.atMs);
  hub.emit("audit", { who: "x".repeat(10_000), action: "delete", key: "dddddddd", result: "forgotten" });
  t.match(busy.of("dddddddd").seen, [{ who: "x".repeat(128) }]);
});

t.test("live counts are read out of the metrics, whatever a route is called", async (t) => {
  const { app } = sampleAdmin({}, undefined, {
    scrape: async () => `# HELP idempotency_gateway_requests_total x
idempotency_gateway_requests_total{route="a\\"b\\\\\\\\n}",result="executed"} 3
idempotency_gateway_requests_total{route="a\\"b\\\\\\\\n}",result="replayed"} 4
idempotency_gateway_requests_total{route="",result="rejected"} 1
idempotency_gateway_in_flight{route="a\\"b\\\\\\\\n}"} 2
idempotency_gateway_waiters{route="a\\"b\\\\\\\\n}"} 1
idempotency_gateway_request_duration_seconds_bucket{le="1",route="a",result="executed"} 9
`,
  });
  const { at, routes } = (await app.inject("/v1/live")).json();
  t.match(at, /^\d{4}-/);
  t.strictSame(routes, [
    { route: 'a"b\\\\n}', inFlight: 2, waiting: 1, requests: { executed: 3, replayed: 4 } },
    { route: null, inFlight: 0, waiting: 0, requests: { rejected: 1 } },
  ]);
});

t.test("several consoles share one scrape, and a scrape that fails is not kept", async (t) => {
  let scrapes = 0;
  let isBroken = true;
  const { app } = sampleAdmin({}, undefined, {
    scrape: async () => {
      scrapes++;
      if (isBroken) throw new Error("no metrics");
      return "";
    },
  });
  t.equal((await app.inject("/v1/live")).statusCode, 500);
  isBroken = false;
  const answers = await Promise.all([app.inject("/v1/live"), app.inject("/v1/live"), app.inject("/v1/live")]);
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [200, 200, 200],
  );
  t.equal(scrapes, 2);
});
