import t from "tap";
import { redisBinary, startRedis } from "../redis-server.js";
import { headerOf, post } from "./client.js";
import { Gateway, tempFolder } from "./harness.js";
import { answer, Gate, Upstream } from "./upstream.js";

// Redis that freezes, dies and comes back under a running gateway.

const upstream = await Upstream.start(t);

t.test("with Redis away", async (t) => {
  const binary = await redisBinary(t);
  if (binary === undefined) return;
  const folder = await tempFolder(t);
  const redis = await startRedis(binary, ["--appendonly", "yes", "--appendfsync", "always", "--dir", folder]);
  t.teardown(() => redis.stop());
  const route = (name: string, idempotency: object = {}) => ({
    name,
    match: { path: `/${name}` },
    upstream: { url: upstream.url },
    idempotency: { lease: "2s", ...idempotency },
  });
  const gateway = await Gateway.start(t, {
    store: { type: "redis", url: redis.url },
    routes: [
      route("careful"),
      route("careless", { storeUnavailable: "bypass" }),
      route("short", { lease: "600ms" }),
      { name: "bare", match: { path: "/*" }, upstream: { url: upstream.url } },
    ],
  });
  const at = (path: string) => gateway.url + path;
  const recovered = () =>
    gateway.until(
      "Redis is used again",
      async () => (await post(at("/careful"), { key: `back-${Math.random()}` })).status === 201,
    );

  await t.test("frozen: refused in time, nothing is sent, and the same key runs once it is back", async (t) => {
    upstream.on("/careful", answer(201, "done"));
    t.equal((await post(at("/careful"), { key: "before" })).status, 201);
    redis.freeze();
    const refused = await Promise.all(["frozen-1", "frozen-2"].map((key) => post(at("/careful"), { key })));
    for (const reply of refused) {
      t.match(reply, { status: 503, code: "store-unavailable" });
      t.match(headerOf(reply, "retry-after"), /^\d+$/);
    }
    t.equal(upstream.count("/careful"), 1, "nothing was sent");
    t.match(
      await post(at("/careless"), { key: "bypassed" }),
      { status: 201 },
      "where the route says so, it is forwarded",
    );
    t.equal((await post(at("/bare"))).status, 201, "what is not protected is not concerned");
    t.equal(await gateway.readiness(), 200, "still in service");
    redis.thaw();
    await recovered();
    for (const key of ["frozen-1", "frozen-2"]) {
      await gateway.until(`${key} is free`, async () => {
        const reply = await post(at("/careful"), { key });
        if (reply.status === 201) return true;
        t.not(reply.code, "outcome-unknown", "a claim that may have happened unseen was withdrawn");
        return reply.code === "outcome-unknown";
      });
      t.match(await post(at("/careful"), { key }), { status: 201, isReplayed: true });
    }
    t.ok((await gateway.metric("idempotency_gateway_store_errors_total")) > 0);
    t.ok((await gateway.metric("idempotency_gateway_requests_total", { result: "bypassed" })) > 0);
  });

  await t.test("killed and restarted: records are there, and the gateway recovers by itself", async (t) => {
    upstream.on("/careful", answer(201, "survives"));
    await post(at("/careful"), { key: "survivor" });
    await redis.kill();
    // Another key: what was answered a moment ago is known without asking Redis.
    t.match(await post(at("/careful"), { key: "meanwhile" }), { status: 503, code: "store-unavailable" });
    await redis.start();
    await recovered();
    const sent = upstream.count("/careful");
    t.match(await post(at("/careful"), { key: "survivor" }), { status: 201, text: "survives", isReplayed: true });
    t.equal(upstream.count("/careful"), sent);
  });

  await t.test(
    "gone when the answer came: the client gets it, the record is in doubt, nothing is sent twice",
    async (t) => {
      const gate = new Gate();
      upstream.on("/short", gate.before(answer(201, "the real answer")));
      const first = post(at("/short"), { key: "unstored" });
      await upstream.arrived("/short");
      await redis.kill();
      gate.open();
      t.match(await first, { status: 201, text: "the real answer" });
      const doubts = () => gateway.metric("idempotency_gateway_in_doubt_total", { cause: "store_lost" });
      await gateway.until("the lease is over", async () => (await doubts()) === 1);
      await redis.start();
      await recovered();
      t.match(await post(at("/short"), { key: "unstored" }), { status: 409, code: "outcome-unknown" });
      t.equal(upstream.count("/short"), 1);
      const errors = gateway.process.log().filter(({ level }) => level === "error");
      t.match(JSON.stringify(errors), /did not take/, "logged as an error");
    },
  );

  await t.test("gone for a moment shorter than the lease: the answer is stored after all", async (t) => {
    const gate = new Gate();
    upstream.on("/careful", gate.before(answer(201, "stored in the end")));
    const before = upstream.count("/careful");
    const first = post(at("/careful"), { key: "moment" });
    await upstream.arrived("/careful", before + 1);
    redis.freeze();
    gate.open();
    t.match(await first, { status: 201 });
    redis.thaw();
    await gateway.reachesState("moment", "completed");
    t.match(await post(at("/careful"), { key: "moment" }), { text: "stored in the end", isReplayed: true });
    t.equal(upstream.count("/careful"), before + 1);
  });
});
