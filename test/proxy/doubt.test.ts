import t from "tap";
import { post } from "../e2e/client.js";
import { answer, type Entry, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, SampleGateway } from "../spec/gateway.js";
import { octets } from "../spec/octets.js";

// Requests of which nobody knows whether they were carried out, and what is done about it.

const upstream = await Upstream.start(t);
const elsewhere = await Upstream.start(t);
const probe = (url: string, more: object = {}) => ({ inDoubt: "probe", probe: { url, ...more } });
const minute = 60_000;
const routes = [
  guarded("/hold", upstream.url, { lease: "1s", retention: "1h", inDoubtRetention: "1h" }),
  guarded("/retry", upstream.url, { inDoubt: "retry", lease: "1m" }),
  guarded("/probe/:tenant", upstream.url, {
    ...probe(`${upstream.url}/made/{path.tenant}/{key}?item={body:/item/id}&fixed=1`),
    response: { maxStored: "1KiB" },
  }),
  guarded(
    "/far",
    upstream.url,
    probe(`${elsewhere.url}/made/{key}`, { method: "HEAD", done: [204], notDone: [404, 410] }),
  ),
  guarded("/mute", upstream.url, probe(`${elsewhere.url}/mute/{key}`), { timeout: "200ms" }),
];
const gateway = await SampleGateway.start(t, { routes });
const other = await SampleGateway.start(t, { routes }, gateway);
const { url, store, trouble } = gateway;
const broken = octets("", "rst");
const unknown = { status: 409, code: "outcome-unknown" };

const fieldOf = (entry: Entry | undefined, name: string) =>
  entry?.headers.find(([known]) => known.toLowerCase() === name)?.[1];

/** Leaves a request in doubt. */
async function doubt(path: string, options: Parameters<typeof post>[1]): Promise<void> {
  upstream.on(path, broken);
  const { status } = await post(url + path, options);
  if (status !== 502) throw new Error(`${status} leaves no doubt`);
}

t.test("hold: a doubt lasts until inDoubtRetention is over; then the key is a new one", async (t) => {
  await doubt("/hold", { key: "held" });
  const before = upstream.count("/hold");
  upstream.on("/hold", answer(201));
  store.passTime(59 * minute);
  t.match(await post(`${url}/hold`, { key: "held" }), unknown);
  t.match(await post(`${other.url}/hold`, { key: "held" }), unknown);
  t.equal(upstream.count("/hold"), before);
  store.passTime(2 * minute);
  t.match(await post(`${url}/hold`, { key: "held" }), { status: 201, isReplayed: false });
});

t.test("an owner that is gone leaves a doubt when its lease is over, told of once", async (t) => {
  const gate = new Gate();
  upstream.on("/hold", gate.before(answer(201, "late")));
  trouble.down = new Set(["extend"]);
  const before = upstream.count("/hold");
  const first = post(`${url}/hold`, { key: "paused" });
  await upstream.arrived("/hold", before + 1);
  const waits = post(`${other.url}/hold`, { key: "paused" });
  await other.waiting(1);
  store.passTime(2_000);
  t.match(await waits, unknown, "who waited is told so as well");
  t.match(await post(`${other.url}/hold`, { key: "paused" }), unknown);
  t.same(
    other.seen("inDoubt").map(({ cause }) => cause),
    ["lease_expired"],
  );
  trouble.down = new Set();
  gate.open();
  t.match(await first, { status: 201, text: "late" });
  t.match(await post(`${other.url}/hold`, { key: "paused" }), { status: 201, text: "late", isReplayed: true });
  t.equal(upstream.count("/hold"), before + 1, "nobody had taken it over, so its late answer counts");
});

t.test("a late owner cannot overwrite its successor, and its own client gets what its upstream said", async (t) => {
  const gates = [new Gate(), new Gate()];
  upstream.on("/retry", async ({ response, nth }) => {
    await gates[nth - 1]?.opened;
    response.writeHead(201).end(`run ${nth}`);
  });
  trouble.down = new Set(["extend"]);
  const first = post(`${url}/retry`, { key: "overtaken" });
  await upstream.arrived("/retry", 1);
  store.passTime(2 * minute);
  const second = post(`${other.url}/retry`, { key: "overtaken" });
  await upstream.arrived("/retry", 2);
  gates[0]?.open();
  t.match(await first, { status: 201, text: "run 1" });
  t.equal(gateway.seen("leaseLost").length, 1);
  gates[1]?.open();
  t.match(await second, { status: 201, text: "run 2", isReplayed: false });
  for (const { url } of [gateway, other]) {
    t.match(await post(`${url}/retry`, { key: "overtaken" }), { text: "run 2", isReplayed: true });
  }
  trouble.down = new Set();
  t.equal(upstream.count("/retry"), 2);
});

t.test("retry: one takes over and the others share its answer; another payload never takes over", async (t) => {
  await doubt("/retry", { key: "taken", body: "1" });
  const gate = new Gate();
  upstream.on("/retry", gate.before(answer(201, "second try")));
  const before = upstream.count("/retry");
  t.match(await post(`${url}/retry`, { key: "taken", body: "2" }), { status: 422, code: "key-reused" });
  const all = [url, url, other.url, other.url].map((at) => post(`${at}/retry`, { key: "taken", body: "1" }));
  await upstream.arrived("/retry", before + 1);
  await gateway.until("three wait", () => gateway.waiters + other.waiters === 3);
  gate.open();
  for (const reply of await Promise.all(all)) t.match(reply, { status: 201, text: "second try" });
  t.equal(upstream.count("/retry"), before + 1);
});

t.test("probe: asks with the key, the path and the body filled in, and what belongs to its upstream", async (t) => {
  const options = {
    key: "a/b?c&d%",
    body: '{"item":{"id":"x y"}}',
    headers: {
      authorization: "Bearer secret",
      traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
      cookie: "c=1",
    },
  };
  await doubt("/probe/t%2D1", options);
  upstream.on("/probe/t%2D1", answer(201, "sent again"));
  const asked = "/made/t-1/a%2Fb%3Fc%26d%25";
  upstream.on(asked, answer(200, "it is there", { "x-from": "probe" }));
  const before = upstream.count("/probe/t%2D1");
  const all = [url, other.url, url].map((at) => post(`${at}/probe/t%2D1`, options));
  for (const reply of await Promise.all(all)) {
    t.match(reply, { status: 200, text: "it is there", isReplayed: true });
  }
  t.match(await post(`${url}/probe/t%2D1`, options), { status: 200, text: "it is there", isReplayed: true });
  const probes = upstream.journal.filter((entry) => entry.path.startsWith("/made/"));
  t.equal(probes.length, 1, "one prober");
  t.match(probes[0], { method: "GET", target: `${asked}?item=x%20y&fixed=1` });
  t.equal(probes[0]?.body.length, 0);
  t.equal(fieldOf(probes[0], "authorization"), "Bearer secret");
  t.equal(fieldOf(probes[0], "traceparent"), options.headers.traceparent);
  t.equal(fieldOf(probes[0], "cookie"), undefined);
  t.equal(fieldOf(probes[0], "host"), `127.0.0.1:${gateway.port}`, "the Host its upstream is used to");
  t.equal(upstream.count("/probe/t%2D1"), before, "nothing was sent again");
});

t.test(
  "probe: elsewhere nobody is given the client's credentials; its method and statuses are the route's",
  async (t) => {
    const options = { headers: { authorization: "Bearer secret" } };
    for (const [key, status] of Object.entries({ yes: 204, no: 410, unclear: 200 })) {
      await doubt("/far", { ...options, key });
      elsewhere.on(`/made/${key}`, answer(status));
    }
    upstream.on("/far", answer(201, "now"));
    t.match(await post(`${url}/far`, { ...options, key: "yes" }), { status: 204, isReplayed: true });
    t.match(await post(`${url}/far`, { ...options, key: "unclear" }), unknown);
    t.match(await post(`${url}/far`, { ...options, key: "unclear" }), unknown);
    t.match(await post(`${url}/far`, { ...options, key: "no" }), { status: 201, text: "now", isReplayed: false });
    t.equal(elsewhere.count("/made/unclear"), 2, "each retry asks again");
    for (const entry of elsewhere.journal) {
      t.equal(entry.method, "HEAD");
      t.equal(fieldOf(entry, "authorization"), undefined);
      t.equal(fieldOf(entry, "host"), `127.0.0.1:${elsewhere.port}`);
      t.match(fieldOf(entry, "traceparent"), /^00-/);
    }
  },
);

t.test("probe: what gives no clear answer leaves it in doubt", async (t) => {
  const path = "/probe/unclear";
  const options = (key: string) => ({ key, body: '{"item":{"id":1}}' });
  for (const key of ["broken", "large", "endless", "500"]) await doubt(path, options(key));
  await doubt(path, { key: "no-item", body: "{}" });
  upstream.on("/made/unclear/broken", broken);
  upstream.on("/made/unclear/large", answer(200, Buffer.alloc(2000)));
  upstream.on("/made/unclear/endless", ({ response }) =>
    response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n"),
  );
  upstream.on("/made/unclear/500", answer(500));
  upstream.on(path, answer(201));
  const before = upstream.count(path);
  for (const key of ["broken", "large", "endless", "500"]) t.match(await post(url + path, options(key)), unknown, key);
  t.match(await post(url + path, { key: "no-item", body: "{}" }), unknown, "the address cannot be filled in");
  await doubt("/mute", { key: "silent" });
  elsewhere.on("/mute/silent", () => {});
  t.match(await post(`${url}/mute`, { key: "silent" }), unknown, "no answer in time");
  t.equal(upstream.count(path), before, "nothing was sent again");
  t.match(await post(url + path, { key: "large", body: '{"item":{"id":2}}' }), { code: "key-reused" });
});

t.test(
  "the store fails after the upstream answered: the client gets its answer, and it is stored when it can be",
  async (t) => {
    upstream.on("/hold", answer(201, "real"));
    const before = upstream.count("/hold");
    trouble.down = new Set(["complete"]);
    const first = post(`${url}/hold`, { key: "back-in-time" });
    t.match(await first, { status: 201, text: "real", isReplayed: false });
    t.equal(gateway.seen("fault").length, 1, "and an operator hears of it");
    trouble.down = new Set();
    await gateway.engine.idle();
    t.match(await post(`${url}/hold`, { key: "back-in-time" }), { status: 201, text: "real", isReplayed: true });
    trouble.down = new Set(["complete"]);
    t.match(await post(`${url}/hold`, { key: "too-late" }), { status: 201, text: "real" });
    await gateway.engine.idle();
    t.equal(gateway.seen("inDoubt").at(-1)?.cause, "store_lost");
    trouble.down = new Set();
    store.passTime(2_000);
    t.match(await post(`${url}/hold`, { key: "too-late" }), unknown);
    t.equal(upstream.count("/hold"), before + 2);
  },
);

t.test("a record that is gone while its request runs is written anew; what a successor wrote is not", async (t) => {
  for (const hasSuccessor of [false, true]) {
    const gate = new Gate();
    upstream.on("/hold", gate.before(answer(201, "first")));
    const key = `flushed-${hasSuccessor}`;
    const before = upstream.count("/hold");
    trouble.down = new Set(["extend"]);
    const first = post(`${url}/hold`, { key });
    await upstream.arrived("/hold", before + 1);
    store.passTime(2 * 60 * minute);
    if (hasSuccessor) {
      upstream.on("/hold", answer(201, "second"));
      t.match(await post(`${other.url}/hold`, { key }), { text: "second" });
    }
    gate.open();
    t.match(await first, { status: 201, text: "first" });
    trouble.down = new Set();
    t.match(await post(`${other.url}/hold`, { key }), { text: hasSuccessor ? "second" : "first", isReplayed: true });
  }
});
