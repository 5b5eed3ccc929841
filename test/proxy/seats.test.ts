import t from "tap";
import { exchange } from "../../src/proxy/exchange.js";
import { callPlainly } from "../../src/proxy/plain/plain-call.js";
import { Pools } from "../../src/proxy/pools.js";
import { Seats } from "../../src/proxy/seats.js";
import { post } from "../e2e/client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
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

t.test("both lanes share the seats of an upstream, and all are served", async (t) => {
  const gate = new Gate();
  let [running, most] = [0, 0];
  for (const path of ["/pay", "/bare"]) {
    upstream.on(path, async (call) => {
      running++;
      most = Math.max(most, running);
      await gate.opened;
      running--;
      answer(201, "done")(call);
    });
  }
  const sent = [pay("a"), bare(), pay("b"), bare(), pay("c"), bare()];
  await gateway.until("two are there", () => running === 2);
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(running, 2);
  gate.open();
  for (const response of await Promise.all(sent)) t.equal(response.status, 201);
  t.equal(most, 2);
});

t.test("who waits for a seat in vain was never sent, and takes none", async (t) => {
  const gate = new Gate();
  upstream.on("/bare", gate.before(answer(201)));
  for (const path of ["/brief", "/brief/bare"]) upstream.on(path, answer(201));
  const before = upstream.count("/bare");
  const held = [bare(), bare()];
  await upstream.arrived("/bare", before + 2);
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
  const waiting = [post(`${reloaded.url}/bare`, { body: "y" }), post(`${reloaded.url}/pay`, { key: "w" })];
  await new Promise((resolve) => setTimeout(resolve, 50));
  reloaded.reload(t, route(2));
  await new Promise((resolve) => setTimeout(resolve, 20));
  gate.open();
  for (const response of await Promise.all([first, ...waiting])) t.equal(response.status, 201);
  t.equal((await post(`${reloaded.url}/bare`, { body: "z" })).status, 201, "and the new settings serve");
  await reloaded.quiet();
});

t.test("what waits for nobody to wait is called then, and at once where nobody does", async (t) => {
  const seats = new Seats(1);
  const told: string[] = [];
  seats.onceNobodyWaits(() => told.push("at once"));
  seats.take();
  const stop = seats.wait(() => told.push("never"));
  seats.wait(() => told.push("seated"));
  seats.onceNobodyWaits(() => told.push("in the end"));
  stop();
  t.same(told, ["at once"]);
  seats.give();
  t.same(told, ["at once", "seated", "in the end"]);
  const leave = seats.wait(() => told.push("never"));
  seats.onceNobodyWaits(() => told.push("all left"));
  leave();
  t.same(told.slice(3), ["all left"]);
});

t.test("undici's lane asks right before it sends, too, and gives the seat back", async (t) => {
  const own = await Upstream.start(t);
  own.on("/late", answer(201));
  const pools = new Pools(true);
  t.teardown(() => pools.destroy());
  const to = { origin: own.url, timeoutMs: 5000, connectTimeoutMs: 1000, connections: 1, preserveHost: true };
  const send = (isOurs: boolean) =>
    exchange(pools.for(to), {
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
  const upstream = () => ({
    origin: own.url,
    timeoutMs: 1,
    connectTimeoutMs: 1000,
    connections: 1,
    preserveHost: true,
  });
  const [known, unknown] = [upstream(), { ...upstream(), connections: 2 }];
  t.match(await exchange(pools.for(known), late), { kind: "answered" });
  await pools.destroy();
  for (const to of [known, unknown, known, unknown]) {
    t.match(await exchange(pools.for(to), late), { kind: "unsent" });
    t.match(await new Promise((resolve) => callPlainly(pools.plain(to)!, late, resolve)), { kind: "unsent" });
  }
  t.equal(own.count("/late"), 1);
});
