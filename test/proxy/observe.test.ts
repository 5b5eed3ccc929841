import t from "tap";
import { post } from "../e2e/client.js";
import { RawClient } from "../e2e/raw-client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, SampleGateway } from "../spec/gateway.js";

// Routes that let requests through: `mode: observe`, and `storeUnavailable: bypass`.

const upstream = await Upstream.start(t);
const observe = { mode: "observe" };
const gateway = await SampleGateway.start(t, {
  server: { limits: { requestBody: "8KiB", bufferedBodies: "8KiB" } },
  routes: [
    guarded("/observed", upstream.url, { ...observe, scope: ["header:x-tenant?"] }),
    guarded("/scoped", upstream.url, { ...observe, scope: ["header:x-tenant"] }),
    guarded("/in-body", upstream.url, { ...observe, key: { from: "body:/id" } }),
    guarded("/small", upstream.url, { ...observe, response: { maxStored: "1KiB" } }),
    guarded("/bypass", upstream.url, { storeUnavailable: "bypass" }),
    guarded("/reject", upstream.url),
  ],
});
const { port, url, trouble } = gateway;
const host = `Host: 127.0.0.1:${port}`;

/** What was observed while `during` ran, in order. */
async function observed(during: () => Promise<unknown>): Promise<string[]> {
  const before = gateway.seen("observed").length;
  await during();
  return gateway
    .seen("observed")
    .slice(before)
    .map(({ would }) => would);
}

t.test("observe: nothing is refused for its key, scope or body, all of it is forwarded and counted", async (t) => {
  const before = upstream.journal.length;
  const large = Buffer.from(Array.from({ length: 60_000 }, (_, at) => at % 251));
  const sent: [path: string, options: Parameters<typeof post>[1]][] = [
    ["/observed", {}],
    ["/observed", { key: "" }],
    ["/observed", { key: "a b" }],
    ["/observed", { headers: { "idempotency-key": ["a", "b"] } }],
    ["/observed", { key: "large", body: large }],
    ["/scoped", { key: "k" }],
    ["/in-body", { body: "no JSON" }],
    ["/in-body", { body: '{"id":1,"id":2}' }],
  ];
  const would = await observed(async () => {
    for (const [path, options] of sent) {
      const reply = await post(url + path, options);
      t.match(reply, { status: 201, isReplayed: false, code: undefined }, JSON.stringify(options).slice(0, 60));
      t.same(upstream.entries(path).at(-1)?.body, Buffer.from(options?.body ?? ""), "its body, whole");
    }
  });
  t.same(would, Array(sent.length).fill("reject"));
  t.equal(upstream.journal.length, before + sent.length);
  await gateway.quiet();
});

t.test("observe: a chunked body over the limit, and one for which there is no room, pass whole", async (t) => {
  const body = Buffer.from(Array.from({ length: 20_000 }, (_, at) => at % 251));
  const chunks = Buffer.concat([Buffer.from("4e20\r\n"), body, Buffer.from("\r\n0\r\n\r\n")]);
  const head = `POST /observed HTTP/1.1\r\n${host}\r\nIdempotency-Key: chunked\r\nTransfer-Encoding: chunked`;
  const would = await observed(async () => {
    t.equal((await RawClient.exchange(port, head, chunks)).status, 201);
    t.ok(upstream.entries("/observed").at(-1)?.body.equals(body));
    const holder = await RawClient.connect(port);
    holder.write(`POST /reject HTTP/1.1\r\n${host}\r\nIdempotency-Key: holds\r\nContent-Length: 8000\r\n\r\n`);
    holder.write(Buffer.alloc(7999));
    await gateway.until("there is no room", () => gateway.budget.usedBytes === 7999);
    const roomless = body.subarray(0, 5000);
    t.match(await post(`${url}/observed`, { key: "no-room", body: roomless }), { status: 201 });
    t.ok(upstream.entries("/observed").at(-1)?.body.equals(roomless));
    holder.hangUp();
  });
  t.same(would, ["reject", "reject"]);
  await gateway.quiet();
});

t.test("observe: duplicates run, in flight or not, and it is counted what they would have got", async (t) => {
  const gate = new Gate();
  upstream.on(
    "/observed",
    gate.before(({ response, nth }) => response.writeHead(201).end(`run ${nth}`)),
  );
  const before = upstream.count("/observed");
  const would = await observed(async () => {
    const first = post(`${url}/observed`, { key: "twice", body: "1" });
    await upstream.arrived("/observed", before + 1);
    const second = post(`${url}/observed`, { key: "twice", body: "1" });
    const other = post(`${url}/observed`, { key: "twice", body: "2" });
    await upstream.arrived("/observed", before + 3);
    gate.open();
    const texts = (await Promise.all([first, second, other])).map((reply) => reply.text);
    t.equal(new Set(texts).size, 3, "each got the answer of its own request");
    t.match(await post(`${url}/observed`, { key: "twice", body: "1" }), { status: 201, isReplayed: false });
  });
  t.same(would.slice(0, 2).sort(), ["mismatch", "wait"]);
  t.same(would.slice(2), ["replay"]);
});

t.test("observe: what would be in doubt, or not replayable, runs all the same", async (t) => {
  upstream.on("/observed", answer(502, "perhaps"));
  upstream.on("/small", answer(200, Buffer.alloc(5000, "x")));
  const would = await observed(async () => {
    for (let turn = 0; turn < 2; turn++) {
      t.match(await post(`${url}/observed`, { key: "doubt" }), { status: 502, text: "perhaps" });
      t.match(await post(`${url}/small`, { key: "large" }), { status: 200, text: "x".repeat(5000) });
    }
  });
  t.same(would, ["outcome_unknown", "response_not_stored"]);
});

t.test("observe: without a store everything passes", async (t) => {
  trouble.down = new Set(["claim", "complete"]);
  upstream.on("/observed", answer(201));
  for (let turn = 0; turn < 2; turn++) t.match(await post(`${url}/observed`, { key: "away" }), { status: 201 });
  trouble.down = new Set();
  t.equal(gateway.seen("request").filter((event) => event.result === "bypassed").length, 2);
});

t.test(
  "bypass: without a store requests are forwarded, unprotected and counted; with it they are protected",
  async (t) => {
    const before = upstream.count("/bypass");
    const bypassed = gateway.seen("request").filter((event) => event.result === "bypassed").length;
    trouble.down = new Set(["claim"]);
    const all = await Promise.all([1, 2, 3].map(() => post(`${url}/bypass`, { key: "open", body: "x" })));
    for (const reply of all) t.match(reply, { status: 201, isReplayed: false });
    t.equal(upstream.count("/bypass"), before + 3);
    trouble.down = new Set();
    t.match(await post(`${url}/bypass`, { key: "open", body: "x" }), { status: 201, isReplayed: false });
    t.match(await post(`${url}/bypass`, { key: "open", body: "x" }), { status: 201, isReplayed: true });
    t.equal(gateway.seen("request").filter((event) => event.result === "bypassed").length, bypassed + 3);
    t.match(await post(`${url}/bypass`, {}), { status: 400, code: "key-missing" }, "its rules still hold");
    await gateway.quiet();
  },
);

t.test("bypass: a claim whose answer was lost is taken back, and leaves no doubt behind", async (t) => {
  trouble.deaf = new Set(["claim"]);
  t.match(await post(`${url}/bypass`, { key: "deaf" }), { status: 201 });
  trouble.deaf = new Set();
  await gateway.engine.idle();
  t.match(await post(`${url}/bypass`, { key: "deaf" }), { status: 201, isReplayed: false });
});

t.test("reject: nothing is sent, and the retry runs, whether the claim was carried out or not", async (t) => {
  const before = upstream.count("/reject");
  for (const kind of ["down", "deaf"] as const) {
    trouble[kind] = new Set(["claim"]);
    const all = await Promise.all([1, 2].map(() => post(`${url}/reject`, { key: `lost-${kind}` })));
    for (const reply of all) t.match(reply, { status: 503, code: "store-unavailable" });
    trouble[kind] = new Set();
    await gateway.engine.idle();
  }
  t.equal(upstream.count("/reject"), before);
  for (const kind of ["down", "deaf"]) {
    t.match(await post(`${url}/reject`, { key: `lost-${kind}` }), { status: 201, isReplayed: false });
  }
});

t.test("a record known to be in flight elsewhere is waited for, however long the store is away", async (t) => {
  const routes = [guarded("/bypass", upstream.url, { storeUnavailable: "bypass" })];
  const other = await SampleGateway.start(t, { routes }, gateway);
  const gate = new Gate();
  upstream.on("/bypass", gate.before(answer(201, "once")));
  const before = upstream.count("/bypass");
  const first = post(`${url}/bypass`, { key: "elsewhere" });
  await upstream.arrived("/bypass", before + 1);
  const waits = post(`${other.url}/bypass`, { key: "elsewhere" });
  await other.waiting(1);
  let looks = 0;
  other.trouble.down = new Set(["claim"]);
  other.trouble.asked = () => looks++;
  await other.until("it has looked in vain", () => looks >= 2);
  gate.open();
  t.match(await first, { status: 201, isReplayed: false });
  other.trouble.down = new Set();
  t.match(await waits, { status: 201, text: "once", isReplayed: true });
  t.equal(upstream.count("/bypass"), before + 1);
});
