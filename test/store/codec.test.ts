import assert from "node:assert/strict";
import fc from "fast-check";
import t from "tap";
import type { Landing, StoredResponse } from "../../src/model.js";
import { problems } from "../../src/problem.js";
import { decodeLanding, decodeResponse, encodeLanding, encodeResponse } from "../../src/store/codec.js";

const latin1 = fc.string({ unit: fc.integer({ min: 0, max: 0xff }).map((octet) => String.fromCharCode(octet)) });
const pairs = fc.array(fc.tuple(latin1, latin1), { maxLength: 20 }).map((list) => list.flat());
const responses: fc.Arbitrary<StoredResponse> = fc.record({
  status: fc.integer({ min: 100, max: 999 }),
  reason: latin1,
  headers: pairs,
  body: fc.uint8Array({ maxLength: 300 }).map((octets) => Buffer.from(octets)),
  trailers: pairs,
});
const landings: fc.Arbitrary<Landing> = fc.oneof(
  responses.map((response): Landing => ({ kind: "response", response })),
  fc
    .record({
      code: fc.constantFrom(...(Object.keys(problems) as (keyof typeof problems)[])),
      detail: fc.string({ unit: "grapheme" }),
    })
    .map((problem): Landing => ({ kind: "problem", problem: { ...problem } })),
);

const executedIn = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const plain = (response: StoredResponse) => ({ ...response, body: response.body.toString("hex") });

t.test("any response comes back as it went in", async (t) => {
  fc.assert(
    fc.property(responses, (response) => {
      assert.deepEqual(plain(decodeResponse(encodeResponse(response))), plain(response));
    }),
  );
  t.pass("every one did");
});

t.test("any landing comes back as it went in", async (t) => {
  fc.assert(
    fc.property(landings, (landing) => {
      const found = decodeLanding(encodeLanding(landing));
      if (found.kind === "response" && landing.kind === "response") {
        assert.deepEqual(plain(found.response), plain(landing.response));
      } else {
        assert.deepEqual(found, landing);
      }
    }),
  );
  t.pass("every one did");
});

const sample = encodeResponse({
  status: 200,
  reason: "OK",
  headers: ["Content-Type", "text/plain", "a", "b"],
  body: Buffer.from("hello"),
  trailers: ["t", "u"],
});

t.test("a blob cut off before its body throws", async (t) => {
  for (let length = 0; length < sample.length - "hello".length; length++) {
    t.throws(() => decodeResponse(sample.subarray(0, length)), `${length} octets`);
  }
});

t.test("a blob whose lengths do not add up throws", async (t) => {
  for (const at of [4, 5, 6, 7, 8, 11, 14, 17, 18, 21, 25, 33]) {
    const damaged = Buffer.from(sample);
    damaged[at] = damaged[at]! ^ 1;
    t.throws(() => decodeResponse(damaged), /damaged/, `octet ${at}`);
  }
});

t.test("a blob of another format or kind throws", async (t) => {
  const newer = Buffer.from(sample);
  newer[0] = 3;
  t.throws(() => decodeResponse(newer), /format 3/);
  t.throws(() => decodeLanding(newer), /format 3/);
  newer[0] = 2;
  t.throws(() => decodeResponse(newer), /damaged/, "a traced one without a trace");
  const problem = encodeLanding({ kind: "problem", problem: { code: "internal", detail: "x" } });
  t.throws(() => decodeResponse(problem), /damaged/);
  t.throws(() => decodeLanding(Buffer.concat([problem.subarray(0, 2), Buffer.from("[]")])), /damaged/);
  t.throws(() => decodeLanding(problem.subarray(0, 6)));
  t.throws(() => decodeLanding(Buffer.alloc(0)));
});

t.test("a trace context costs its own octets, and nothing where there is none", async (t) => {
  fc.assert(
    fc.property(responses, (response) => {
      const [untraced, traced] = [encodeResponse(response), encodeResponse({ ...response, executedIn })];
      assert.equal(untraced[0], 1, "older programs can read it");
      assert.equal(traced[0], 2, "older programs refuse it");
      assert.equal(traced.length, untraced.length + executedIn.length);
      assert.deepEqual(plain(decodeResponse(traced)), { ...plain(response), executedIn });
    }),
  );
  t.throws(() => {
    const damaged = encodeResponse({ ...decodeResponse(sample), body: Buffer.alloc(0), executedIn });
    damaged.writeUInt16BE(executedIn.length + 1, 12);
    decodeResponse(damaged);
  }, /damaged/);
  const problem = { code: "internal", detail: "x" } as const;
  t.same(decodeLanding(encodeLanding({ kind: "problem", problem, executedIn })), {
    kind: "problem",
    problem,
    executedIn,
  });
});

t.test("what Latin-1 cannot hold is refused before it is stored", async (t) => {
  const response = { status: 200, reason: "", headers: ["X-Price", "10 €"], body: Buffer.alloc(0), trailers: [] };
  t.throws(() => encodeResponse(response), TypeError);
});
