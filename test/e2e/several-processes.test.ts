import { randomBytes } from "node:crypto";
import t, { type Test } from "tap";
import { redisBinary, startRedis } from "../redis-server.js";
import { post } from "./client.js";
import { Gateway, tempFolder } from "./harness.js";
import { answer, Gate, Upstream } from "./upstream.js";

// Two gateway processes on one store: they share its records, and survive each other's death and sleep.

const upstream = await Upstream.start(t);
const leaseMs = 800;

interface Pair {
  readonly a: Gateway;
  readonly b: Gateway;
}

async function startPair(t: Test, store: object): Promise<Pair> {
  const route = (name: string, idempotency: object) => ({
    name,
    match: { path: `/${name}` },
    upstream: { url: upstream.url },
    idempotency: { lease: `${leaseMs}ms`, ...idempotency },
  });
  const probe = { url: `${upstream.url}/probe-of/{key}`, done: [200], notDone: [404] };
  const routes = [
    route("hold", {}),
    route("retry", { inDoubt: "retry" }),
    route("probe", { inDoubt: "probe", probe }),
    route("patient", { lease: "30s" }),
  ];
  const folder = await tempFolder(t);
  const a = await Gateway.start(t, { store, routes }, folder);
  const b = await Gateway.start(t, { store, routes }, folder);
  return { a, b };
}

async function sharingSuite(t: Test, store: object): Promise<void> {
  const { a, b } = await startPair(t, store);
  let keys = 0;
  const newKey = () => `key-${++keys}`;

  await t.test("a duplicate at another process waits there and shares the one result", async (t) => {
    const key = newKey();
    const gate = new Gate();
    upstream.on("/patient", gate.before(answer(201, "one for all")));
    const before = upstream.count("/patient");
    const first = post(`${a.url}/patient`, { key });
    await upstream.arrived("/patient", before + 1);
    const duplicates = Array.from({ length: 20 }, (_, at) => post(`${(at % 2 ? a : b).url}/patient`, { key }));
    await a.waiters(10);
    await b.waiters(10);
    t.match(await post(`${b.url}/patient`, { key, body: "other" }), { status: 422, code: "key-reused" });
    gate.open();
    t.match(await first, { status: 201, text: "one for all", isReplayed: false });
    for (const reply of await Promise.all(duplicates)) {
      t.match(reply, { status: 201, text: "one for all", isReplayed: true });
    }
    t.match(await post(`${b.url}/patient`, { key }), { status: 201, isReplayed: true });
    t.equal(upstream.count("/patient"), before + 1);
  });

  await t.test("those who raced for a claim at both processes get one result", async (t) => {
    const before = upstream.count("/patient");
    upstream.on("/patient", ({ response, nth }) => response.writeHead(201).end(`execution ${nth}`));
    for (let turn = 0; turn < 10; turn++) {
      const key = newKey();
      const replies = await Promise.all([a, b, a, b].map((gateway) => post(`${gateway.url}/patient`, { key })));
      t.equal(new Set(replies.map(({ text }) => text)).size, 1);
      t.equal(replies.filter(({ isReplayed }) => !isReplayed).length, 1);
    }
    t.equal(upstream.count("/patient"), before + 10);
  });

  await t.test("a released answer is shared with those who wait elsewhere, and then the key is free", async (t) => {
    const key = newKey();
    const gate = new Gate();
    const before = upstream.count("/patient");
    upstream.on("/patient", gate.before(answer(429, "not now")));
    const first = post(`${a.url}/patient`, { key });
    await upstream.arrived("/patient", before + 1);
    const waiting = post(`${b.url}/patient`, { key });
    await b.waiters(1);
    gate.open();
    for (const reply of [await first, await waiting]) t.match(reply, { status: 429, text: "not now" });
    upstream.on("/patient", answer(201, "now"));
    t.match(await post(`${b.url}/patient`, { key }), { status: 201, text: "now", isReplayed: false });
    t.equal(upstream.count("/patient"), before + 2);
  });

  await t.test("what both write at the same time stays apart: every key keeps its own answer", async (t) => {
    const count = 150;
    const bodies = new Map<string, Buffer>();
    upstream.on("/patient", ({ entry, response }) => {
      const body = randomBytes(Math.floor(Math.random() * 6000));
      bodies.set(entry.body.toString(), body);
      response.writeHead(201).end(body);
    });
    const before = upstream.count("/patient");
    const numbers = Array.from({ length: count }, (_, at) => at);
    const differing = new Set<string>();
    const inTurns = async (work: (at: number) => Promise<void>) => {
      const left = numbers.values();
      const worker = async () => {
        for (const at of left) await work(at);
      };
      await Promise.all(Array.from({ length: 12 }, worker));
    };
    const compare = async (gateway: Gateway, at: number) => {
      const key = `apart-${at}`;
      const reply = await post(`${gateway.url}/patient`, { key, body: key });
      if (reply.status !== 201 || !reply.body.equals(bodies.get(key) as Buffer))
        differing.add(`${key}: ${reply.status}`);
    };
    await inTurns((at) => compare(at % 2 ? a : b, at));
    await inTurns(async (at) => {
      const gateway = at % 2 ? b : a;
      t.match(await gateway.records(`apart-${at}`), [{ state: "completed", status: 201 }]);
      await compare(gateway, at);
    });
    await inTurns((at) => compare(at % 2 ? a : b, at));
    t.same([...differing], []);
    t.equal(upstream.count("/patient"), before + count);
  });

  await t.test("kill -9 of the owner: in doubt when the lease runs out, and never sent again", async (t) => {
    const key = newKey();
    upstream.on("/hold", () => {});
    const before = upstream.count("/hold");
    const lost = post(`${a.url}/hold`, { key });
    await upstream.arrived("/hold", before + 1);
    const waiting = post(`${b.url}/hold`, { key });
    await b.waiters(1);
    await a.process.kill();
    await t.rejects(lost);
    t.match(await waiting, { status: 409, code: "outcome-unknown" });
    t.match(await b.records(key), [{ state: "in_doubt", cause: "lease_expired" }]);
    await a.restart();
    for (const gateway of [a, b]) {
      t.match(await post(`${gateway.url}/hold`, { key }), { status: 409, code: "outcome-unknown" });
    }
    t.equal(upstream.count("/hold"), before + 1);
    t.ok((await b.metric("idempotency_gateway_in_doubt_total", { cause: "lease_expired" })) >= 1);
  });

  await t.test("kill -9 after the answer: everybody is replayed it", async (t) => {
    const key = newKey();
    upstream.on("/hold", answer(201, "kept"));
    const before = upstream.count("/hold");
    t.match(await post(`${a.url}/hold`, { key }), { status: 201, text: "kept" });
    await a.process.kill();
    t.match(await post(`${b.url}/hold`, { key }), { status: 201, text: "kept", isReplayed: true });
    await a.restart();
    t.match(await post(`${a.url}/hold`, { key }), { status: 201, text: "kept", isReplayed: true });
    t.equal(upstream.count("/hold"), before + 1);
  });

  await t.test("an owner that slept past its lease completes its record, since nobody has taken it over", async (t) => {
    const key = newKey();
    const gate = new Gate();
    upstream.on("/hold", gate.before(answer(201, "late, but true")));
    const before = upstream.count("/hold");
    const first = post(`${a.url}/hold`, { key });
    await upstream.arrived("/hold", before + 1);
    a.process.signal("SIGSTOP");
    gate.open();
    await b.reachesState(key, "in_doubt");
    t.match(await post(`${b.url}/hold`, { key }), { status: 409, code: "outcome-unknown" });
    a.process.signal("SIGCONT");
    t.match(await first, { status: 201, text: "late, but true", isReplayed: false });
    t.match(await post(`${b.url}/hold`, { key }), { status: 201, text: "late, but true", isReplayed: true });
    t.equal(upstream.count("/hold"), before + 1);
  });

  await t.test("where the route retries, a late owner cannot overwrite its successor", async (t) => {
    const key = newKey();
    const gate = new Gate();
    upstream.on("/retry", gate.before(answer(201, "the first one's")));
    const before = upstream.count("/retry");
    const first = post(`${a.url}/retry`, { key });
    await upstream.arrived("/retry", before + 1);
    a.process.signal("SIGSTOP");
    await b.reachesState(key, "in_doubt");
    upstream.on("/retry", answer(201, "the successor's"));
    t.match(await post(`${b.url}/retry`, { key }), { status: 201, text: "the successor's" });
    gate.open();
    a.process.signal("SIGCONT");
    t.match(await first, { status: 201, text: "the first one's" }, "its own client gets what the upstream said");
    await a.until("the loss is counted", async () => (await a.metric("idempotency_gateway_lease_lost_total")) > 0);
    for (const gateway of [a, b]) {
      t.match(await post(`${gateway.url}/retry`, { key }), { text: "the successor's", isReplayed: true });
    }
    t.equal(upstream.count("/retry"), before + 2);
  });

  await t.test("who slept past its lease while it probed does not send what its successor has sent", async (t) => {
    const key = newKey();
    const before = upstream.count("/probe");
    upstream.on("/probe", ({ socket }) => socket.destroy());
    t.equal((await post(`${a.url}/probe`, { key })).status, 502);
    const gate = new Gate();
    const probe = `/probe-of/${key}`;
    upstream.on(probe, gate.before(answer(404)));
    const probes = upstream.count(probe);
    const sleeper = post(`${a.url}/probe`, { key });
    await upstream.arrived(probe, probes + 1);
    a.process.signal("SIGSTOP");
    await b.reachesState(key, "in_doubt");
    upstream.on(probe, answer(404));
    upstream.on("/probe", answer(201, "the successor's"));
    t.match(await post(`${b.url}/probe`, { key }), { status: 201, text: "the successor's" });
    gate.open();
    a.process.signal("SIGCONT");
    t.match(await sleeper, { status: 409, code: "in-progress" });
    t.match(await post(`${a.url}/probe`, { key }), { status: 201, text: "the successor's", isReplayed: true });
    t.equal(upstream.count("/probe"), before + 2);
  });
}

t.test("on the embedded store", (t) => sharingSuite(t, { type: "embedded", path: "./data" }));

t.test("on Redis", async (t) => {
  const binary = await redisBinary(t);
  if (binary === undefined) return;
  const redis = await startRedis(binary);
  t.teardown(() => redis.stop());
  await sharingSuite(t, { type: "redis", url: redis.url });
  // Fingerprints and ids are digests; that no digest is a key is for the store's own tests.
  const names = await redis.admin.keys("*");
  t.ok(names.length > 0);
  for (const name of names) {
    t.ok((await redis.admin.pttl(name)) > 0, `${name} expires`);
    t.notMatch(name, /key-\d/);
  }
});
