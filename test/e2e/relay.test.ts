import t from "tap";
import { redisBinary, startRedis } from "../redis-server.js";
import { Relay } from "../relay.js";
import { post, send } from "./client.js";
import { Gateway } from "./harness.js";
import { answer, Gate, Upstream } from "./upstream.js";

// One link at a time is cut, silent, or closed in one direction: between client and gateway, gateway and upstream,
// gateway and Redis. `npm run chaos` does the same by chance, many times.

const binary = await redisBinary(t);
if (binary === undefined) process.exit();

const redis = await startRedis(binary);
t.teardown(() => redis.stop());
const upstream = await Upstream.start(t);
const redisLink = await Relay.start(t, redis.port);
const upstreamLink = await Relay.start(t, upstream.port);
const gateway = await Gateway.start(t, {
  store: { type: "redis", url: `redis://127.0.0.1:${redisLink.port}`, commandTimeout: "300ms" },
  logging: { level: "fatal" },
  routes: [
    {
      name: "pay",
      match: { path: "/pay" },
      upstream: { url: `http://127.0.0.1:${upstreamLink.port}`, timeout: "20s" },
      idempotency: { lease: "20s" },
    },
  ],
});
const clientLink = await Relay.start(t, gateway.port);
const direct = `${gateway.url}/pay`;
const linked = `http://127.0.0.1:${clientLink.port}/pay`;

let keys = 0;
/** A key nobody used, an upstream that answers it when the gate opens, and how often it was sent. */
function scene() {
  const key = `relay-${++keys}`;
  const gate = new Gate();
  const before = upstream.count("/pay");
  upstream.on("/pay", gate.before(answer(201, key)));
  return {
    key,
    gate,
    arrived: () => upstream.arrived("/pay", before + 1),
    sent: () => upstream.count("/pay") - before,
  };
}

const storeAnswers = () =>
  gateway.until("the store answers", async () => {
    return (await gateway.admin("GET", "/v1/records?limit=1").catch(() => undefined))?.status === 200;
  });

t.test("a client that is cut off finds the answer with its retry", async (t) => {
  const { key, gate, arrived, sent } = scene();
  const lost = post(linked, { key });
  await arrived();
  clientLink.cut();
  await t.rejects(lost);
  gate.open();
  t.match(await post(linked, { key }), { status: 201, text: key, isReplayed: true });
  t.equal(sent(), 1);
});

t.test("a client that has closed its sending half is answered, or finds the answer with its retry", async (t) => {
  const { key, gate, arrived, sent } = scene();
  const { reply } = send(linked, { key });
  await arrived();
  clientLink.halfClose("server");
  gate.open();
  const own = await reply.catch(() => undefined);
  if (own !== undefined) t.match(own, { status: 201, text: key });
  t.match(await post(direct, { key }), { status: 201, text: key, isReplayed: true });
  t.equal(sent(), 1);
});

t.test("the upstream's link is cut while it works: in doubt, and not sent again", async (t) => {
  const { key, gate, arrived, sent } = scene();
  const first = post(direct, { key });
  await arrived();
  upstreamLink.cut();
  t.match(await first, { status: 502, code: "upstream-reset" });
  gate.open();
  t.match(await post(direct, { key }), { status: 409, code: "outcome-unknown" });
  t.match(await gateway.records(key), [{ state: "in_doubt", cause: "reset" }]);
  t.equal(sent(), 1);
});

t.test("the upstream ends its half before it answers: in doubt, and not sent again", async (t) => {
  const { key, arrived, sent } = scene();
  const first = post(direct, { key });
  await arrived();
  upstreamLink.halfClose("client");
  t.match(await first, { status: 502, code: "upstream-reset" });
  t.match(await post(direct, { key }), { status: 409, code: "outcome-unknown" });
  t.equal(sent(), 1);
});

t.test("Redis falls silent before the answer is stored: the client has it, and it is stored afterwards", async (t) => {
  const { key, gate, arrived, sent } = scene();
  const first = post(direct, { key });
  await arrived();
  redisLink.fallSilent();
  gate.open();
  t.match(await first, { status: 201, text: key, isReplayed: false });
  redisLink.speak();
  await storeAnswers();
  await gateway.reachesState(key, "completed");
  t.match(await post(direct, { key }), { status: 201, text: key, isReplayed: true });
  t.equal(sent(), 1);
});

t.test("what Redis was told is lost on the way: the end is told again, and nothing is sent twice", async (t) => {
  const { key, gate, arrived, sent } = scene();
  const first = post(direct, { key });
  await arrived();
  redisLink.fallSilent();
  gate.open();
  t.match(await first, { status: 201, text: key });
  redisLink.cut();
  redisLink.speak();
  await storeAnswers();
  await gateway.reachesState(key, "completed");
  t.equal(sent(), 1);
});

t.test("without a link to Redis nothing is sent, and with one again the retry runs", async (t) => {
  const { key, gate, sent } = scene();
  gate.open();
  redisLink.drop();
  t.match(await post(direct, { key }), { status: 503, code: "store-unavailable" });
  t.equal(sent(), 0);
  redisLink.raise();
  await storeAnswers();
  t.match(await post(direct, { key }), { status: 201, text: key, isReplayed: false });
  t.equal(sent(), 1);
});

t.test("a claim whose answer is lost is withdrawn: the retry runs, and is not told of a doubt", async (t) => {
  const { key, gate, sent } = scene();
  gate.open();
  redisLink.fallSilent();
  t.match(await post(direct, { key }), { status: 503, code: "store-unavailable" });
  redisLink.speak();
  await storeAnswers();
  await gateway.reachesState(key, "absent");
  t.match(await post(direct, { key }), { status: 201, text: key, isReplayed: false });
  t.equal(sent(), 1);
});

for (const side of ["server", "client"] as const) {
  t.test(`the ${side}'s half of the link to Redis is closed: another one is opened`, async (t) => {
    const { key, gate, sent } = scene();
    gate.open();
    redisLink.halfClose(side);
    await storeAnswers();
    let reply = await post(direct, { key });
    for (let turn = 0; turn < 50 && reply.code === "store-unavailable"; turn++) reply = await post(direct, { key });
    t.match(reply, { status: 201, text: key });
    t.equal(sent(), 1);
  });
}
