import { readFileSync } from "node:fs";
import t from "tap";
import { redisBinary, startRedis } from "../redis-server.js";
import { post, type Reply } from "./client.js";
import { Gateway, tempFolder } from "./harness.js";
import { answer, Gate, Upstream } from "./upstream.js";

// Many clients with one key, at once. How fast the last of them is answered is for `bench/herd.mjs`: here only that all
// of them are, with one execution, on a machine however busy.

const binary = await redisBinary(t);
if (binary === undefined) process.exit();

const redis = await startRedis(binary);
t.teardown(() => redis.stop());
const upstream = await Upstream.start(t);
const route = (name: string, idempotency: object) => ({
  name,
  match: { path: `/${name}` },
  upstream: { url: upstream.url, timeout: "60s" },
  idempotency: { waitTimeout: "60s", ...idempotency },
});
const settings = {
  store: { type: "redis", url: redis.url, commandTimeout: "2s" },
  logging: { level: "warn" },
  routes: [
    route("herd", { maxWaiters: 20_000 }),
    route("capped", { maxWaiters: 5 }),
    route("impatient", { concurrency: "reject" }),
  ],
};
const folder = await tempFolder(t);
const gateways: Gateway[] = [];
for (let index = 0; index < 3; index++) gateways.push(await Gateway.start(t, settings, folder));
const [a] = gateways as [Gateway, Gateway, Gateway];

async function waiters(): Promise<number> {
  const counts = await Promise.all(gateways.map((gateway) => gateway.metric("idempotency_gateway_waiters")));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** `count` requests with one key, spread over the gateways; `spreadMs` is from the first answer to the last. */
function herd(key: string, count: number) {
  let firstMs = 0;
  let lastMs = 0;
  const replies = Array.from({ length: count }, async (_, at) => {
    const reply = await post(`${gateways[at % 3]!.url}/herd`, { key, timeoutMs: 60_000 });
    lastMs = performance.now();
    firstMs ||= lastMs;
    return reply;
  });
  return Promise.all(replies).then((all) => ({ all, spreadMs: lastMs - firstMs }));
}

const isOwn = ({ isReplayed }: Reply) => !isReplayed;

// The first of all, while the process is as small as it gets.
t.test("who waits costs memory by the kilobyte", { skip: process.platform !== "linux" }, async (t) => {
  const residentMiB = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${a.process.pid}/status`, "utf8"))?.[1]) / 1024;
  const gate = new Gate();
  const before = upstream.count("/herd");
  upstream.on("/herd", gate.before(answer(201, "at last")));
  const beforeMiB = residentMiB();
  const waiting = Array.from({ length: 2000 }, () => post(`${a.url}/herd`, { key: "memory", timeoutMs: 60_000 }));
  await a.waiters(1999);
  const grownMiB = residentMiB() - beforeMiB;
  t.comment(`2,000 waiters: ${grownMiB.toFixed(0)} MiB`);
  t.ok(grownMiB < 120, "10,000 are measured by bench/herd.mjs; here the order of magnitude");
  gate.open();
  t.same([...new Set((await Promise.all(waiting)).map(({ text }) => text))], ["at last"]);
  t.equal(upstream.count("/herd"), before + 1);
});

t.test("a thousand duplicates over three processes are one dispatch, and all get its answer", async (t) => {
  const gate = new Gate();
  const before = upstream.count("/herd");
  upstream.on("/herd", gate.before(answer(201, "one for a thousand")));
  const { all, spreadMs } = await (async () => {
    const running = herd("thousand", 1000);
    await a.until("all wait but the first", async () => (await waiters()) === 999);
    // They may all be there before the first one's request is.
    await upstream.arrived("/herd", before + 1);
    t.equal(upstream.count("/herd"), before + 1);
    gate.open();
    return running;
  })();
  t.comment(`from the first answer to the last: ${spreadMs.toFixed(0)} ms`);
  t.same([...new Set(all.map(({ status, text }) => `${status} ${text}`))], ["201 one for a thousand"]);
  t.equal(all.filter(isOwn).length, 1, "one of them as its own, the others as a repetition");
  t.equal(upstream.count("/herd"), before + 1);
  t.equal(await waiters(), 0);
});

t.test(
  "a released flight is shared by those who waited, and has one successor among those who come next",
  async (t) => {
    const gate = new Gate();
    const before = upstream.count("/herd");
    upstream.on("/herd", gate.before(answer(429, "not now")));
    const waiting = herd("released", 60);
    await a.until("all wait but the first", async () => (await waiters()) === 59);
    gate.open();
    t.same([...new Set((await waiting).all.map(({ status, text }) => `${status} ${text}`))], ["429 not now"]);
    t.equal(upstream.count("/herd"), before + 1);
    upstream.on("/herd", ({ response, nth }) => response.writeHead(201).end(`execution ${nth}`));
    const { all } = await herd("released", 60);
    t.equal(new Set(all.map(({ text }) => text)).size, 1);
    t.equal(all.filter(isOwn).length, 1);
    t.equal(upstream.count("/herd"), before + 2);
  },
);

t.test("whoever may not wait is told so while the flight still runs", async (t) => {
  const gate = new Gate();
  upstream.on("/capped", gate.before(answer(201, "late")));
  upstream.on("/impatient", gate.before(answer(201, "late")));
  const first = post(`${a.url}/capped`, { key: "cap" });
  await upstream.arrived("/capped");
  const waiting = Array.from({ length: 5 }, () => post(`${a.url}/capped`, { key: "cap" }));
  await a.waiters(5);
  for (const reply of await Promise.all([1, 2, 3].map(() => post(`${a.url}/capped`, { key: "cap" })))) {
    t.match(reply, { status: 409, code: "in-progress" });
    t.ok(reply.headers.some(([name]) => name.toLowerCase() === "retry-after"));
  }
  const alone = post(`${a.url}/impatient`, { key: "alone" });
  await upstream.arrived("/impatient");
  for (const gateway of gateways) {
    t.match(await post(`${gateway.url}/impatient`, { key: "alone" }), { status: 409, code: "in-progress" });
  }
  gate.open();
  for (const reply of await Promise.all([first, alone, ...waiting])) t.match(reply, { status: 201, text: "late" });
});
