import t from "tap";
import { headerOf, post } from "../e2e/client.js";
import { freePort } from "../e2e/free-port.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { guarded, SampleGateway } from "./gateway.js";
import { octets } from "./octets.js";

// D2: what leaves keys stuck, or refuses those who did nothing wrong.

const upstream = await Upstream.start(t);
const nobody = `http://127.0.0.1:${await freePort()}`;
const gateway = await SampleGateway.start(t, {
  server: { limits: { requestBody: "8KiB" } },
  routes: [
    guarded("/pay", upstream.url, { lease: "1s", retention: "1h", inDoubtRetention: "1h" }),
    guarded("/reject", upstream.url, { concurrency: "reject" }),
    guarded("/nobody", nobody),
    guarded("/json", upstream.url, { fingerprint: { body: "json" } }),
  ],
});
const other = await SampleGateway.start(
  t,
  {
    routes: [
      guarded("/pay", upstream.url, { lease: "1s", retention: "1h", inDoubtRetention: "1h" }),
      guarded("/nobody", nobody),
    ],
  },
  gateway,
);
const { url, store, trouble } = gateway;

/** An owner that has died in the middle: its lease is over, its answer never came. */
async function crash(key: string): Promise<void> {
  upstream.on("/pay", octets("", "rst"));
  trouble.down = new Set(["strand", "extend"]);
  await post(`${url}/pay`, { key });
  store.passTime(2_000);
  trouble.down = new Set();
  await gateway.engine.idle();
}

t.test(
  "after a crash a key is no conflict without end: it says what it is, and ends by decision or retention (#18, #19)",
  async (t) => {
    const before = upstream.count("/pay");
    await crash("crashed-1");
    await crash("crashed-2");
    upstream.on("/pay", answer(201, "after"));
    for (const key of ["crashed-1", "crashed-2"]) {
      const reply = await post(`${other.url}/pay`, { key });
      t.match(reply, { status: 409, code: "outcome-unknown" });
      t.equal(headerOf(reply, "retry-after"), undefined, "trying again is not what helps");
    }
    const [record] = (await gateway.records()).filter(({ state }) => state === "in_doubt");
    t.equal(await store.resolve(record!.key, { kind: "notDone" }), "resolved");
    const replies = await Promise.all(["crashed-1", "crashed-2"].map((key) => post(`${url}/pay`, { key })));
    t.same(replies.map((reply) => reply.status).sort(), [201, 409], "the one that was decided runs");
    store.passTime(3_600_000);
    for (const key of ["crashed-1", "crashed-2"]) t.match(await post(`${url}/pay`, { key }), { status: 201 });
    t.equal(upstream.count("/pay"), before + 5);
  },
);

t.test("an upstream that is not there leaves no claim behind, and nobody waiting (#20)", async (t) => {
  for (const { url } of [gateway, other]) {
    const replies = await Promise.all([1, 2, 3].map(() => post(`${url}/nobody`, { key: "absent" })));
    for (const reply of replies) t.match(reply, { status: 502, code: "upstream-unreachable" });
  }
  t.notOk((await gateway.records()).some(({ route }) => route === "nobody"));
  await gateway.quiet();
});

t.test("those who wait cost the store nothing, and cannot keep the owner from writing (#21)", async (t) => {
  const asked: string[] = [];
  trouble.asked = (verb) => asked.push(verb);
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201, "once")));
  const all = Array.from({ length: 40 }, () => post(`${url}/pay`, { key: "forty" }));
  await gateway.waiting(39);
  gate.open();
  for (const reply of await Promise.all(all)) t.match(reply, { status: 201, text: "once" });
  trouble.asked = undefined;
  t.same(
    asked.filter((verb) => verb !== "extend"),
    ["claim", "complete"],
  );
});

t.test("a body over the limit is refused before anything is claimed (#23)", async (t) => {
  const asked: string[] = [];
  trouble.asked = (verb) => asked.push(verb);
  t.match(await post(`${url}/pay`, { key: "big", body: Buffer.alloc(9000) }), { status: 413 });
  trouble.asked = undefined;
  t.same(asked, []);
  upstream.on("/pay", answer(201));
  t.match(await post(`${url}/pay`, { key: "big", body: "small" }), { status: 201 }, "the key is free");
});

t.test("a lost race is a conflict and no outage; a mismatch beats both, in flight too (#24, #25)", async (t) => {
  const gate = new Gate();
  upstream.on("/reject", gate.before(answer(201)));
  const first = post(`${url}/reject`, { key: "race", body: "1" });
  await upstream.arrived("/reject");
  t.match(await post(`${url}/reject`, { key: "race", body: "1" }), { status: 409, code: "in-progress" });
  t.match(await post(`${url}/reject`, { key: "race", body: "2" }), { status: 422, code: "key-reused" });
  gate.open();
  t.match(await first, { status: 201 });
  t.same(
    gateway.seen("fault").filter(({ route }) => route === "reject"),
    [],
  );
});

t.test("what fails halfway through a claim leaves no key in progress (#25a)", async (t) => {
  trouble.deaf = new Set(["claim"]);
  t.match(await post(`${url}/pay`, { key: "halfway" }), { status: 503, code: "store-unavailable" });
  trouble.deaf = new Set();
  await gateway.engine.idle();
  t.match(await post(`${other.url}/pay`, { key: "halfway" }), { status: 201, isReplayed: false });
});

t.test("two clients who send the same body under their own keys both run (#26)", async (t) => {
  upstream.on("/pay", answer(201));
  const before = upstream.count("/pay");
  for (const key of ["mine", "yours"]) t.match(await post(`${url}/pay`, { key, body: "same" }), { status: 201 });
  t.equal(upstream.count("/pay"), before + 2);
});

t.test("a duplicate is known as one after the end as before, however its body is compared (#27)", async (t) => {
  for (let turn = 0; turn < 3; turn++) {
    const reply = await post(`${url}/json`, { key: "json", body: '{"a":[1,{"b":null}]}' });
    t.match(reply, { status: 201, isReplayed: turn > 0 });
  }
});

t.test("a mismatch overwrites nothing, nor does a conflict become the stored answer (#28, #29)", async (t) => {
  const gate = new Gate();
  upstream.on("/reject", gate.before(answer(201, "the answer")));
  const before = upstream.count("/reject");
  const first = post(`${url}/reject`, { key: "kept", body: "1" });
  await upstream.arrived("/reject", before + 1);
  await post(`${url}/reject`, { key: "kept", body: "1" });
  await post(`${url}/reject`, { key: "kept", body: "2" });
  gate.open();
  await first;
  await post(`${url}/reject`, { key: "kept", body: "2" });
  t.match(await post(`${url}/reject`, { key: "kept", body: "1" }), {
    status: 201,
    text: "the answer",
    isReplayed: true,
  });
});

t.test("whatever the store fails at, every client is answered (#30)", async (t) => {
  upstream.on("/pay", ({ entry, response }) => response.writeHead(Number(entry.body.toString())).end("answer"));
  for (const kind of ["down", "deaf"] as const) {
    for (const verb of ["claim", "extend", "complete", "release", "strand", "withdraw"] as const) {
      trouble[kind] = new Set([verb]);
      for (const status of [201, 429, 502]) {
        const both = [1, 2].map(() => post(`${url}/pay`, { key: `${kind}-${verb}-${status}`, body: String(status) }));
        for (const reply of await Promise.all(both)) {
          t.equal(reply.status, verb === "claim" ? 503 : status, `${kind} ${verb} ${status}`);
        }
      }
    }
    trouble[kind] = new Set();
  }
  await gateway.quiet();
});

t.test("those who wait keep nobody else from being served (#31)", async (t) => {
  const gate = new Gate();
  upstream.on("/pay", gate.before(answer(201)));
  const all = Array.from({ length: 200 }, () => post(`${url}/pay`, { key: "crowd" }));
  await gateway.waiting(199);
  t.match(await post(`${url}/json`, { key: "passes" }), { status: 201 });
  gate.open();
  for (const reply of await Promise.all(all)) t.equal(reply.status, 201);
});
