import t from "tap";
import { post } from "../e2e/client.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "./gateway.js";
import { octets } from "./octets.js";

// D1: what makes others run a request twice. The numbers are those of the collection of pitfalls.

const upstream = await Upstream.start(t);
const routes = [
  guarded("/pay", upstream.url, { lease: "300ms" }),
  guarded("/retry", upstream.url, { inDoubt: "retry", lease: "1m" }),
  guarded("/brief", upstream.url, { retention: "1s", lease: "15s" }),
  guarded("/impatient", upstream.url, { waitTimeout: "50ms" }),
  guarded("/small", upstream.url, { response: { maxStored: "1KiB" } }),
  guarded("/slow", upstream.url, {}, { timeout: "200ms" }),
  guarded("/known", upstream.url, { scope: ["header:x-account"] }),
  guarded("/hidden", upstream.url, { key: { forward: false } }),
  open("/bare", upstream.url),
];
const gateway = await SampleGateway.start(t, { routes });
const others = [await SampleGateway.start(t, { routes }, gateway), await SampleGateway.start(t, { routes }, gateway)];
const all = [gateway, ...others];
const { url, store, trouble } = gateway;
const [other] = others as [SampleGateway, SampleGateway];
const unknown = { status: 409, code: "outcome-unknown" };

const waitersEverywhere = () => all.reduce((sum, one) => sum + one.waiters, 0);

t.test("three processes run a request once, and everybody gets its answer (#1, #2, #5, #10, #11c, #12e)", async (t) => {
  const gate = new Gate();
  upstream.on(
    "/pay",
    gate.before(({ response, nth }) => response.writeHead(201).end(`run ${nth}`)),
  );
  const before = upstream.count("/pay");
  const requests = Array.from({ length: 60 }, (_, at) => post(`${all[at % 3]?.url}/pay`, { key: "three", body: "x" }));
  await gateway.until("all but one wait", () => waitersEverywhere() === 59);
  gate.open();
  const replies = await Promise.all(requests);
  t.same(new Set(replies.map((reply) => `${reply.status} ${reply.text}`)).size, 1);
  t.equal(replies.filter((reply) => !reply.isReplayed).length, 1);
  t.equal(upstream.count("/pay"), before + 1);
});

t.test("an answer too large to keep lets none of those who wait run (#3, #57)", async (t) => {
  const gate = new Gate();
  upstream.on("/small", gate.before(answer(201, Buffer.alloc(5000))));
  const first = post(`${url}/small`, { key: "large" });
  await upstream.arrived("/small");
  const waits = Array.from({ length: 20 }, (_, at) => post(`${all[at % 3]?.url}/small`, { key: "large" }));
  await gateway.until("all of them wait", () => waitersEverywhere() === 20);
  gate.open();
  t.equal((await first).body.length, 5000);
  for (const reply of await Promise.all(waits)) t.match(reply, { status: 409, code: "response-not-stored" });
  t.equal(upstream.count("/small"), 1);
});

t.test("a store that fails is no store that knows nothing (#4)", async (t) => {
  upstream.on("/pay", answer(201, "stored"));
  await post(`${url}/pay`, { key: "known" });
  const before = upstream.count("/pay");
  trouble.down = new Set(["claim"]);
  t.match(await post(`${url}/pay`, { key: "known" }), { status: 503, code: "store-unavailable" });
  t.match(await post(`${url}/pay`, { key: "new" }), { status: 503, code: "store-unavailable" });
  trouble.down = new Set();
  t.equal(upstream.count("/pay"), before);
  t.match(await post(`${url}/pay`, { key: "known" }), { text: "stored", isReplayed: true });
});

t.test("a lease that is over lets nobody run, and touches no record that is complete (#6, #7)", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "late")));
  trouble.down = new Set(["extend"]);
  const before = upstream.count("/pay");
  const first = post(`${url}/pay`, { key: "orphan" });
  await upstream.arrived("/pay", before + 1);
  store.passTime(1_000);
  for (const { url } of others) t.match(await post(`${url}/pay`, { key: "orphan" }), unknown);
  gate.open();
  t.match(await first, { status: 201 });
  store.passTime(60_000);
  for (const { url } of all) t.match(await post(`${url}/pay`, { key: "orphan" }), { text: "late", isReplayed: true });
  trouble.down = new Set();
  t.equal(upstream.count("/pay"), before + 1);
});

t.test("an upstream that is slower than its timeout is not asked again (#8)", async (t) => {
  const gate = new Gate();
  upstream.on("/slow", gate.before(answer(201)));
  const replies = await Promise.all(all.map(({ url }) => post(`${url}/slow`, { key: "slow" })));
  for (const reply of replies) t.match(reply, { status: 504, code: "upstream-timeout" });
  t.match(await post(`${url}/slow`, { key: "slow" }), unknown);
  gate.open();
  t.equal(upstream.count("/slow"), 1);
});

t.test("a changed body is refused and does not run; a refreshed token is still the same client (#9)", async (t) => {
  const as = (token: string, body = "x") => ({
    key: "token",
    body,
    headers: { "x-account": "7", authorization: token },
  });
  t.match(await post(`${url}/known`, as("Bearer old")), { status: 201, isReplayed: false });
  t.match(await post(`${url}/known`, as("Bearer new")), { status: 201, isReplayed: true });
  t.match(await post(`${url}/known`, as("Bearer new", "y")), { status: 422, code: "key-reused" });
  t.equal(upstream.count("/known"), 1);
});

t.test("an owner that lives is not overtaken, however long it takes (#11, #12b)", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "long")));
  const before = upstream.count("/pay");
  const first = post(`${url}/pay`, { key: "long" });
  await upstream.arrived("/pay", before + 1);
  for (let turn = 0; turn < 4; turn++) {
    let isRenewed = false;
    trouble.asked = (verb) => {
      isRenewed ||= verb === "extend";
    };
    await gateway.until("its lease is renewed", () => isRenewed);
    store.passTime(250);
  }
  trouble.asked = undefined;
  const second = post(`${other.url}/pay`, { key: "long" });
  await other.waiting(1);
  gate.open();
  t.match(await first, { text: "long", isReplayed: false });
  t.match(await second, { text: "long", isReplayed: true });
  t.equal(upstream.count("/pay"), before + 1);
});

t.test("a short retention does not end what is still running (#11a)", async (t) => {
  const gate = new Gate();
  upstream.on("/brief", gate.before(answer(201, "once")));
  const first = post(`${url}/brief`, { key: "brief" });
  await upstream.arrived("/brief");
  store.passTime(5_000);
  const second = post(`${other.url}/brief`, { key: "brief" });
  await other.waiting(1);
  gate.open();
  t.match(await first, { text: "once" });
  t.match(await second, { text: "once", isReplayed: true });
  t.equal(upstream.count("/brief"), 1);
});

t.test("another payload cannot take over what is in doubt (#11b)", async (t) => {
  upstream.on("/retry", octets("", "rst"));
  t.match(await post(`${url}/retry`, { key: "doubt", body: "1" }), { status: 502 });
  upstream.on("/retry", answer(201));
  const before = upstream.count("/retry");
  t.match(await post(`${other.url}/retry`, { key: "doubt", body: "2" }), { status: 422, code: "key-reused" });
  t.equal(upstream.count("/retry"), before);
  t.match(await post(`${other.url}/retry`, { key: "doubt", body: "1" }), { status: 201, isReplayed: false });
});

for (const { what, late } of [
  { what: "overwrite", late: answer(201, "late") },
  { what: "free", late: answer(429, "late") },
  { what: "put in doubt", late: answer(502, "late") },
]) {
  t.test(`a late owner cannot ${what} its successor's record (#11d, #11e, #12)`, async (t) => {
    const gates = [new Gate(), new Gate()];
    const before = upstream.count("/retry");
    upstream.on("/retry", async (call) => {
      await gates[call.nth - before - 1]?.opened;
      await (call.nth === before + 1 ? late : answer(201, "successor"))(call);
    });
    const key = `late-${what.replaceAll(" ", "-")}`;
    trouble.down = new Set(["extend"]);
    const first = post(`${url}/retry`, { key });
    await upstream.arrived("/retry", before + 1);
    store.passTime(120_000);
    const second = post(`${other.url}/retry`, { key });
    await upstream.arrived("/retry", before + 2);
    gates[0]?.open();
    t.match(await first, { text: "late" });
    const third = post(`${url}/retry`, { key });
    await gateway.waiting(1);
    gates[1]?.open();
    t.match(await second, { text: "successor", isReplayed: false });
    t.match(await third, { text: "successor", isReplayed: true });
    t.match(await post(`${url}/retry`, { key }), { text: "successor", isReplayed: true });
    trouble.down = new Set();
    t.equal(upstream.count("/retry"), before + 2);
  });
}

t.test("a lease that was lost stays lost: its owner does not take it again (#11f)", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "late")));
  const before = upstream.count("/pay");
  const lost = gateway.seen("leaseLost").length;
  const first = post(`${url}/pay`, { key: "latched" });
  await upstream.arrived("/pay", before + 1);
  store.passTime(1_000);
  await gateway.until("the owner hears of it", () => gateway.seen("leaseLost").length === lost + 1);
  const extends_: string[] = [];
  trouble.asked = (verb) => extends_.push(verb);
  t.match(await post(`${other.url}/pay`, { key: "latched" }), unknown);
  gate.open();
  t.match(await first, { text: "late" });
  trouble.asked = undefined;
  t.notOk(extends_.includes("extend"));
});

t.test("one who waits in vain leaves the owner's claim alone (#12a, #13)", async (t) => {
  const gate = new Gate();
  upstream.on("/impatient", gate.before(answer(201, "late")));
  const first = post(`${url}/impatient`, { key: "vain" });
  await upstream.arrived("/impatient");
  for (const { url } of [gateway, other, other]) {
    t.match(await post(`${url}/impatient`, { key: "vain" }), { status: 409, code: "in-progress" });
  }
  gate.open();
  t.match(await first, { text: "late", isReplayed: false });
  t.match(await post(`${other.url}/impatient`, { key: "vain" }), { text: "late", isReplayed: true });
  t.equal(upstream.count("/impatient"), 1);
});

t.test("an answer without a body, or in many parts, is an answer (#12c)", async (t) => {
  const behaviours = {
    "204": answer(204),
    "no-content-type": octets("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "many-parts": ({ response }: { response: import("node:http").ServerResponse }) => {
      for (let at = 0; at < 50; at++) response.write(`part ${at} `);
      response.end();
    },
  };
  for (const [key, behaviour] of Object.entries(behaviours)) {
    upstream.on("/pay", behaviour);
    const before = upstream.count("/pay");
    const first = await post(`${url}/pay`, { key });
    const second = await post(`${other.url}/pay`, { key });
    t.match(second, { status: first.status, text: first.text, isReplayed: true }, key);
    t.equal(upstream.count("/pay"), before + 1);
  }
});

t.test("a 503 is not tried again, in either lane (#14)", async (t) => {
  for (const path of ["/pay", "/bare"]) {
    upstream.on(path, answer(503, "", { "retry-after": "0" }));
    const before = upstream.count(path);
    t.match(await post(url + path, { key: "busy", method: path === "/bare" ? "GET" : "POST" }), { status: 503 });
    t.equal(upstream.count(path), before + 1);
  }
});

t.test("hops behind us that resend what carries a key need not see it (#15)", async (t) => {
  await post(`${url}/hidden`, { key: "secret" });
  const names = upstream.entries("/hidden")[0]?.headers.map(([name]) => name.toLowerCase());
  t.notOk(names?.includes("idempotency-key"));
});

t.test("commands that a store's client resends meet themselves, and do no harm (#16)", async (t) => {
  trouble.twice = new Set(["claim", "complete", "release", "strand", "withdraw", "extend"]);
  for (const [key, status, later] of [
    ["resent-final", 201, { status: 201, isReplayed: true }],
    ["resent-release", 429, { status: 429, isReplayed: false }],
    ["resent-doubt", 502, unknown],
  ] as const) {
    upstream.on("/pay", answer(status));
    t.match(await post(`${url}/pay`, { key }), { status, isReplayed: false }, key);
    t.match(await post(`${url}/pay`, { key }), later, `${key}, the retry`);
  }
  trouble.twice = new Set();
});
