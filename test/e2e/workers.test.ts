import { writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import t, { type Test } from "tap";
import { redisBinary, startRedis } from "../redis-server.js";
import { Relay } from "../relay.js";
import { post } from "./client.js";
import { childrenOf } from "./gateway-process.js";
import { Gateway, type Settings } from "./harness.js";
import { answer, Gate, Upstream } from "./upstream.js";

// One gateway of two workers: whoever dies, the others go on, and all of them run by the same configuration.

const upstream = await Upstream.start(t);

function settingsWith({ store = "./data", names = ["pay"] } = {}): Settings {
  const routes = names.map((name) => ({
    name,
    match: { path: `/${name}` },
    upstream: { url: upstream.url },
    idempotency: {},
  }));
  return { server: { workers: 2, drainTimeout: "10s" }, store: { type: "embedded", path: store }, routes };
}

async function startTwo(t: Test): Promise<Gateway> {
  return Gateway.start(t, settingsWith());
}

/** kill -9 of one of them, until there is another one. */
async function replaceWorker(gateway: Gateway): Promise<void> {
  const [victim] = await childrenOf(gateway.process.pid);
  process.kill(victim!, "SIGKILL");
  await isReplaced(gateway, victim!);
}

async function isReplaced(gateway: Gateway, victim: number): Promise<void> {
  await gateway.until("another worker", async () => {
    const now = await childrenOf(gateway.process.pid);
    return now.length === 2 && !now.includes(victim) && (await gateway.readiness()) === 200;
  });
}

/** Enough connections to have come to every worker. */
const oftenEnough = 8;

t.test("a worker that is replaced keeps its records where the others do, whatever the file says by now", async (t) => {
  const gateway = await startTwo(t);
  upstream.on("/pay", answer(201, "paid"));
  const before = upstream.count("/pay");
  const keys = Array.from({ length: 6 }, (_, at) => `kept-${at}`);
  for (const key of keys) t.equal((await post(`${gateway.url}/pay`, { key })).status, 201);
  await gateway.configure(settingsWith({ store: "./elsewhere" }));
  await gateway.until("the change is seen", () => /after a restart only/.test(gateway.process.stdout));
  await replaceWorker(gateway);
  for (let turn = 0; turn < oftenEnough; turn++) {
    for (const key of keys) t.match(await post(`${gateway.url}/pay`, { key }), { status: 201, isReplayed: true });
  }
  t.equal(upstream.count("/pay"), before + keys.length);
});

t.test("a worker that is replaced has the routes that are in force, also while the file is refused", async (t) => {
  const gateway = await startTwo(t);
  upstream.on("/order", answer(201, "ordered"));
  await gateway.configure(settingsWith({ names: ["pay", "order"] }));
  const ordered = async (key: string) => (await post(`${gateway.url}/order`, { key })).status === 201;
  await gateway.until("the new route", () => ordered("new"));
  await writeFile(gateway.configFile, "routes: [nonsense");
  await gateway.until("the refusal is counted by both", async () => {
    return (await gateway.metric("idempotency_gateway_config_reloads_total", { result: "failure" })) === 2;
  });
  await replaceWorker(gateway);
  for (let turn = 0; turn < oftenEnough; turn++) t.ok(await ordered(`another-${turn}`));
});

t.test("the workers of a primary that is killed finish what they run, and end", async (t) => {
  const gateway = await startTwo(t);
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "paid")));
  const before = upstream.count("/pay");
  const running = Array.from({ length: 6 }, (_, at) => post(`${gateway.url}/pay`, { key: `orphan-${at}` }));
  await upstream.arrived("/pay", before + running.length);
  const workers = await childrenOf(gateway.process.pid);
  gateway.process.signal("SIGKILL");
  await pause(200);
  gate.open();
  for (const reply of await Promise.all(running)) t.match(reply, { status: 201, text: "paid" });
  await gateway.until("the workers' end", async () => (await Promise.all(workers.map(isGone))).every(Boolean));
  await gateway.process.exit;
  await gateway.restart();
  for (let at = 0; at < running.length; at++) {
    t.match(await post(`${gateway.url}/pay`, { key: `orphan-${at}` }), { status: 201, isReplayed: true });
  }
  t.equal(upstream.count("/pay"), before + running.length);
});

t.test("workers that have not begun to listen end with their primary", async (t) => {
  const binary = await redisBinary(t);
  if (binary === undefined) return;
  const redis = await startRedis(binary);
  t.teardown(() => redis.stop());
  const link = await Relay.start(t, redis.port);
  link.fallSilent();
  const store = { type: "redis", url: `redis://127.0.0.1:${link.port}` };
  const gateway = await Gateway.prepare(t, { ...settingsWith(), store });
  await gateway.launch();
  let workers: number[] = [];
  await gateway.until("two workers", async () => {
    workers = await childrenOf(gateway.process.pid);
    return workers.length === 2;
  });
  // They are briefed by then, and wait for Redis.
  await pause(1_500);
  gateway.process.signal("SIGKILL");
  link.speak();
  await gateway.until("the workers' end", async () => (await Promise.all(workers.map(isGone))).every(Boolean));
});

async function isGone(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

t.test("a worker that dies while it is told something takes nobody with it", async (t) => {
  const gateway = await startTwo(t);
  const { pid } = gateway.process;
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "paid")));
  const before = upstream.count("/pay");
  // Both have some of them, so one half is lost with its worker, and the other half is not.
  const running = Array.from({ length: 8 }, (_, at) =>
    post(`${gateway.url}/pay`, { key: `told-${at}` }).then(
      ({ status }) => status,
      () => "lost",
    ),
  );
  await upstream.arrived("/pay", before + running.length);
  const [victim] = await childrenOf(pid);
  // Asleep, the primary does not hear of the death before it speaks.
  gateway.process.signal("SIGSTOP");
  process.kill(victim!, "SIGKILL");
  await pause(100);
  gateway.process.signal("SIGHUP");
  gateway.process.signal("SIGCONT");
  await isReplaced(gateway, victim!);
  gate.open();
  const statuses = await Promise.all(running);
  t.ok(statuses.includes(201) && statuses.includes("lost"), statuses.join(" "));
  t.equal(gateway.process.pid, pid);
  t.ok(gateway.process.isRunning);
});

t.test("metrics are told while a worker does not answer, and no sum falls", async (t) => {
  const gateway = await startTwo(t);
  upstream.on("/pay", answer(201, "paid"));
  const total = () => gateway.metric("idempotency_gateway_requests_total", { result: "executed" });
  for (let at = 0; at < 8; at++) await post(`${gateway.url}/pay`, { key: `counted-${at}` });
  t.equal(await total(), 8);
  const [asleep] = await childrenOf(gateway.process.pid);
  process.kill(asleep!, "SIGSTOP");
  t.teardown(() => process.kill(asleep!, "SIGCONT"));
  t.equal((await fetch(gateway.adminUrl("/metrics"))).status, 200);
  t.equal(await total(), 8);
});
