import t from "tap";
import type { Upstream as Settings } from "../../src/model.js";
import { exchange } from "../../src/proxy/exchange.js";
import { callPlainly } from "../../src/proxy/plain/plain-call.js";
import { Pools } from "../../src/proxy/pools.js";
import { Seats } from "../../src/proxy/seats.js";
import { post } from "../e2e/client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { sampleUpstream } from "../sample-config.js";
import { SampleGateway } from "../spec/gateway.js";

// `upstream.connections` bounds what an upstream has at once, whichever lane it comes from.

const upstream = await Upstream.start(t);
const to = { url: upstream.url, connections: 2, timeout: "1s" };
const gateway = await SampleGateway.start(t, {
  routes: [
    { name: "pay", match: { path: "/pay" }, upstream: to, idempotency: { key: { from: "header:Idempotency-Key" } } },
    // The time a request may take is its route's; seats are the upstream's.
    {
      name: "brief",
      match: { path: "/brief" },
      upstream: { ...to, timeout: "200ms" },
      idempotency: { key: { from: "header:Idempotency-Key" } },
    },
    { name: "brief-bare", match: { path: "/brief/*" }, upstream: { ...to, timeout: "200ms" } },
    { name: "bare", match: { path: "/*" }, upstream: to },
  ],
});
const pay = (key: string) => post(`${gateway.url}/pay`, { key });
const bare = () => post(`${gateway.url}/bare`, { body: "x" });

t.test("each lane has as many connections to an upstream as it says, and all are served", async (t) => {
  const gate = new Gate();
  const running = { "/pay": 0, "/bare": 0 };
  const most = { ...running };
  for (const path of ["/pay", "/bare"] as const) {
    upstream.on(path, async (call) => {
      running[path]++;
      most[path] = Math.max(most[path], running[path]);
      await gate.opened;
      running[path]--;
      answer(201, "done")(call);
    });
  }
  const sent = [pay("a"), bare(), pay("b"), bare(), pay("c"), bare()];
  await gateway.until("two of each are there", () => running["/pay"] === 2 && running["/bare"] === 2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  gate.open();
  for (const response of await Promise.all(sent)) t.equal(response.status, 201);
  t.same(most, { "/pay": 2, "/bare": 2 });
});

t.test("who waits for a seat in vain was never sent, and takes none", async (t) => {
  const gate = new Gate();
  upstream.on("/bare", gate.before(answer(201)));
  for (const path of ["/brief", "/brief/bare"]) upstream.on(path, answer(201));
  const before = upstream.count("/bare");
  const heldPays = upstream.count("/pay");
  upstream.on("/pay", gate.before(answer(201)));
  const held = [bare(), bare(), pay("held-1"), pay("held-2")];
  await upstream.arrived("/bare", before + 2);
  await upstream.arrived("/pay", heldPays + 2);
  const brief = (key: string) => post(`${gateway.url}/brief`, { key });
  const briefBare = () => post(`${gateway.url}/brief/bare`, { body: "x" });
  const [paid, asked] = await Promise.all([brief("late"), briefBare()]);
  t.match(paid, { status: 502, code: "upstream-unreachable" }, "released: nothing was sent");
  t.match(asked, { status: 502, code: "upstream-unreachable" });
  t.equal(upstream.count("/brief") + upstream.count("/brief/bare"), 0);
  gate.open();
  await Promise.all(held);
  t.equal((await brief("late")).status, 201);
  t.equal((await briefBare()).status, 201);
  t.equal(upstream.count("/brief") + upstream.count("/brief/bare"), 2);
  await gateway.quiet();
});

t.test("whoever gives a seat back at once makes no call deeper, however many wait", async (t) => {
  const seats = new Seats(1);
  seats.take();
  let given = 0;
  for (let count = 0; count < 50_000; count++) {
    seats.wait(() => {
      given++;
      seats.give();
    });
  }
  seats.give();
  t.equal(given, 50_000);
  t.ok(seats.take());
  t.notOk(seats.take());
});

t.test("who waits no longer is passed over", async (t) => {
  const seats = new Seats(1);
  seats.take();
  const given: string[] = [];
  const stop = seats.wait(() => given.push("first"));
  seats.wait(() => given.push("second"));
  stop();
  seats.give();
  t.same(given, ["second"]);
});

t.test("a reload that drops an upstream leaves no one behind who waits for its seats, on either lane", async (t) => {
  const own = await Upstream.start(t);
  const route = (connections: number) => {
    const upstream = { url: own.url, connections };
    const idempotency = { key: { from: "header:Idempotency-Key" } };
    return {
      routes: [
        { name: "pay", match: { path: "/pay" }, upstream, idempotency },
        { name: "bare", match: { path: "/*" }, upstream },
      ],
    };
  };
  const reloaded = await SampleGateway.start(t, route(1));
  const gate = new Gate();
  own.on("/pay", answer(201, "paid"));
  own.on("/bare", gate.before(answer(201, "done")));
  const first = post(`${reloaded.url}/bare`, { body: "x" });
  await own.arrived("/bare", 1);
  const paid = post(`${reloaded.url}/pay`, { key: "v" });
  const waiting = [paid, post(`${reloaded.url}/bare`, { body: "y" }), post(`${reloaded.url}/pay`, { key: "w" })];
  await new Promise((resolve) => setTimeout(resolve, 50));
  reloaded.reload(t, route(2));
  await new Promise((resolve) => setTimeout(resolve, 20));
  gate.open();
  for (const response of await Promise.all([first, ...waiting])) t.equal(response.status, 201);
  t.equal((await post(`${reloaded.url}/bare`, { body: "z" })).status, 201, "and the new settings serve");
  await reloaded.quiet();
});

t.test("undici's lane asks right before it sends, too, and gives the seat back", async (t) => {
  const own = await Upstream.start(t);
  own.on("/late", answer(201));
  const pools = new Pools(true);
  t.teardown(() => pools.destroy());
  const to = sampleUpstream(own.url, { connections: 1 });
  const send = (isOurs: boolean) =>
    exchange(pools.forProtected(to), {
      ...{ origin: own.url, method: "POST", target: "/late", headers: [], body: Buffer.from("x") },
      ...{ timeoutMs: 1000, maxStoredBytes: 1000, mayBeSent: () => isOurs },
    });
  t.match(await send(false), { kind: "unsent", isLate: true });
  t.match(await send(true), { kind: "answered", response: { status: 201 } });
  t.match(await send(false), { kind: "unsent", isLate: true });
  t.match(await send(true), { kind: "answered", response: { status: 201 } });
  t.equal(own.count("/late"), 2);
});

t.test("once the gateway has ended nothing is sent, neither over known pools nor over new ones", async (t) => {
  const own = await Upstream.start(t);
  own.on("/late", answer(201));
  const pools = new Pools(true);
  const late = {
    ...{ origin: own.url, method: "POST", target: "/late", headers: [], body: Buffer.from("x") },
    ...{ timeoutMs: 1000, maxStoredBytes: 1000 },
  };
  const [known, unknown] = [1, 2].map((connections) => sampleUpstream(own.url, { connections })) as [
    Settings,
    Settings,
  ];
  t.match(await exchange(pools.forOpen(known), late), { kind: "answered" });
  pools.destroy();
  for (const to of [known, unknown, known, unknown]) {
    t.match(await exchange(pools.forProtected(to), late), { kind: "unsent" });
    t.match(await new Promise((resolve) => callPlainly(pools.plain(to, {})!, late, resolve)), { kind: "unsent" });
  }
  t.equal(own.count("/late"), 1);
});
