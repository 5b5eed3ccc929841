import t from "tap";
import { post, send } from "../e2e/client.js";
import { freePort } from "../e2e/free-port.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, SampleGateway } from "./gateway.js";
import { octets } from "./octets.js";

// D4 and D5: work that is lost when a client leaves or an answer is large, and errors that may mean either.

const upstream = await Upstream.start(t);
const nobody = `http://127.0.0.1:${await freePort()}`;
const routes = [
  guarded("/pay", upstream.url, { response: { maxStored: "16MiB" }, waitTimeout: "20s" }),
  guarded("/small", upstream.url, { response: { maxStored: "1KiB" } }),
  guarded("/nobody", nobody),
  guarded("/slow", upstream.url, {}, { timeout: "200ms" }),
  guarded("/500-final", upstream.url),
  guarded("/500-unknown", upstream.url, { outcomes: { unknown: [500, 502, 504] } }),
  guarded("/500-release", upstream.url, { outcomes: { release: [500, 503] } }),
];
const gateway = await SampleGateway.start(t, { routes });
const other = await SampleGateway.start(t, { routes }, gateway);
const { url } = gateway;
const unknown = { status: 409, code: "outcome-unknown" };

for (const moment of ["before the head", "in the middle of the body"]) {
  t.test(`a client that leaves ${moment} loses no octet of a large answer (#51, #54, #55, #58a)`, async (t) => {
    const body = Buffer.alloc(10 * 1024 * 1024, "large answer ");
    const gates = [new Gate(), new Gate()];
    upstream.on("/pay", async ({ response }) => {
      await gates[0]?.opened;
      response.writeHead(201, { "content-length": String(body.length) });
      response.write(body.subarray(0, 1_000_000));
      await gates[1]?.opened;
      response.end(body.subarray(1_000_000));
    });
    const before = upstream.count("/pay");
    const key = moment.replaceAll(" ", "-");
    const first = send(`${url}/pay`, { key });
    await upstream.arrived("/pay", before + 1);
    if (moment === "before the head") {
      first.hangUp();
      gates[0]?.open();
    } else {
      gates[0]?.open();
      await new Promise((resolve) => setTimeout(resolve, 50));
      first.hangUp();
    }
    await t.rejects(first.reply);
    gates[1]?.open();
    await gateway.quiet();
    const retry = await post(`${other.url}/pay`, { key });
    t.ok(retry.isReplayed && retry.body.equals(body));
    t.equal(upstream.count("/pay"), before + 1);
  });
}

t.test("no body is taken apart and put together again (#52)", async (t) => {
  const body = '{"n":9007199254740993,"a":1,"a":2, "\\u0061":1e400,"z":1.0}\n';
  upstream.on("/pay", ({ entry, response }) => response.end(entry.body));
  const type = { "content-type": "application/json" };
  t.equal((await post(`${url}/pay`, { key: "json", body, headers: type })).text, body);
  t.equal((await post(`${url}/pay`, { key: "json", body, headers: type })).text, body);
});

t.test("never sent and perhaps done are two things, whatever the error is called (#53, #60)", async (t) => {
  for (let turn = 0; turn < 2; turn++) {
    const reply = await post(`${url}/nobody`, { key: "refused" });
    t.match(reply, { status: 502, code: "upstream-unreachable" });
    t.match(JSON.parse(reply.text), { retryable: true });
  }
  upstream.on("/pay", octets("", "rst"));
  const before = upstream.count("/pay");
  const reply = await post(`${url}/pay`, { key: "reset" });
  t.match(reply, { status: 502, code: "upstream-reset" });
  t.match(JSON.parse(reply.text), { retryable: false });
  t.match(await post(`${url}/pay`, { key: "reset" }), unknown);
  t.equal(upstream.count("/pay"), before + 1);
});

t.test("an answer too large to keep keeps its record: status told, nothing run again (#56, #57)", async (t) => {
  upstream.on("/small", answer(201, Buffer.alloc(5000)));
  t.match(await post(`${url}/small`, { key: "large" }), { status: 201 });
  for (const { url } of [gateway, other]) {
    t.match(await post(`${url}/small`, { key: "large" }), { status: 409, code: "response-not-stored" });
  }
  const record = (await gateway.records()).find(({ route }) => route === "small");
  t.match(record, { state: "not_replayable", status: 201 });
  t.equal(upstream.count("/small"), 1);
});

t.test("what went wrong on the way is never stored as an answer (#58)", async (t) => {
  const wrong = [
    "",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
  ];
  for (const [at, text] of wrong.entries()) {
    upstream.on("/pay", octets(text));
    t.match(await post(`${url}/pay`, { key: `wrong-${at}` }), { status: 502, code: "upstream-reset" });
    t.match(await post(`${url}/pay`, { key: `wrong-${at}` }), unknown);
  }
});

t.test("who waits hears at once when the owner gives its claim back, here and elsewhere (#58b)", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(429, "later")));
  const before = upstream.count("/pay");
  const first = post(`${url}/pay`, { key: "given-back" });
  await upstream.arrived("/pay", before + 1);
  const waits = [gateway, other, other].map(({ url }) => post(`${url}/pay`, { key: "given-back" }));
  await gateway.until("three wait", () => gateway.waiters + other.waiters === 3);
  const openedMs = performance.now();
  gate.open();
  for (const reply of [await first, ...(await Promise.all(waits))]) t.match(reply, { status: 429, text: "later" });
  t.ok(performance.now() - openedMs < 10_000, "long before their 20 s are over");
  t.equal(upstream.count("/pay"), before + 1);
  upstream.on("/pay", answer(201, "now"));
  t.match(await post(`${other.url}/pay`, { key: "given-back" }), { status: 201, text: "now" });
});

t.test("silence of the upstream is doubt, not failure (#59, #60b, #61)", async (t) => {
  upstream.on("/slow", () => {});
  t.match(await post(`${url}/slow`, { key: "silent" }), { status: 504, code: "upstream-timeout" });
  const later = await post(`${url}/slow`, { key: "silent" });
  t.match(later, unknown);
  t.match(JSON.parse(later.text), { retryable: false, detail: /nobody can know/ });
  t.equal(upstream.count("/slow"), 1);
});

t.test("what a 500 means is the route's to say: final, perhaps done, or not done (#62, #63)", async (t) => {
  const expected = {
    "/500-final": { status: 500, isReplayed: true },
    "/500-unknown": unknown,
    "/500-release": { status: 201, isReplayed: false },
  };
  for (const [path, later] of Object.entries(expected)) {
    upstream.on(path, ({ response, nth }) => response.writeHead(nth === 1 ? 500 : 201).end());
    t.match(await post(url + path, { key: "500" }), { status: 500, isReplayed: false });
    t.match(await post(url + path, { key: "500" }), later, path);
  }
});
