import t from "tap";
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
