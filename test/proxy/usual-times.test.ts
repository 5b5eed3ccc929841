import t from "tap";
import { EventHub } from "../../src/events.js";
import { UsualTimes } from "../../src/proxy/usual-times.js";
import { headerOf, post } from "../e2e/client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, SampleGateway } from "../spec/gateway.js";

t.test("Retry-After is the route's usual time less what has passed, at least a second", (t) => {
  const hub = new EventHub();
  const usual = new UsualTimes(hub);
  const none = () => 0;
  t.equal(usual.retryAfterSeconds("slow", 0, none), 1, "of a route without a call nothing is known");
  for (let call = 0; call < 3; call++) hub.emit("upstream", { route: "slow", durationMs: 8000 });
  t.equal(usual.retryAfterSeconds("slow", 0, none), 8);
  t.equal(usual.retryAfterSeconds("slow", 5500, none), 3);
  t.equal(usual.retryAfterSeconds("slow", 60_000, none), 1);
  t.equal(usual.retryAfterSeconds("other", 0, none), 1);
  t.equal(
    usual.retryAfterSeconds("slow", 0, () => 0.999),
    9,
    "clients that were refused together do not return together",
  );
  hub.emit("upstream", { route: "slow", durationMs: 3_600_000 });
  t.equal(usual.retryAfterSeconds("slow", 0, none), 300, "it is bounded");
  t.end();
});

t.test("a duplicate that is refused while the first one runs learns when to come back", async (t) => {
  const upstream = await Upstream.start(t);
  const gateway = await SampleGateway.start(t, {
    routes: [guarded("/pay", upstream.url, { concurrency: "reject" })],
  });
  for (let call = 0; call < 3; call++) gateway.hub.emit("upstream", { route: "pay", durationMs: 20_000 });
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201)));
  const url = `http://127.0.0.1:${gateway.port}/pay`;
  const first = post(url, { key: "k" });
  await upstream.arrived("/pay", 1);
  const second = await post(url, { key: "k" });
  t.equal(second.status, 409);
  t.equal(second.code, "in-progress");
  t.ok(Number(headerOf(second, "retry-after")) >= 20, String(headerOf(second, "retry-after")));
  gate.open();
  t.equal((await first).status, 201);
});
