import { createHash } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import type { Fingerprint, RecordKey } from "../../src/model.js";
import { freshMs, KnownAnswers } from "../../src/store/known-answers.js";
import type { Final } from "../../src/store/packed-answers.js";
import { runs } from "../property-runs.js";

// Answers packed into octets are the answers that were kept, whatever comes and goes around them.

const digest = (text: string) => createHash("sha256").update(text).digest("hex");
const keys = Array.from({ length: 12 }, (_, index) => digest(`key ${index}`) as RecordKey);

function answerOf(serial: number, bytes: number): Final {
  const fingerprint = digest(`fingerprint ${serial}`) as Fingerprint;
  if (bytes < 0) return { kind: "notReplayable", fingerprint, status: 200 + (serial % 100) };
  const body = Buffer.alloc(bytes, `body ${serial}`);
  const headers = ["X-Serial", String(serial), "X-Octets", "\u00e9\u00ff"];
  return {
    kind: "done",
    fingerprint,
    ageMs: serial,
    remainingMs: 60_000,
    response: { status: 201, reason: "", headers, body, trailers: [] },
  };
}

const sizes = fc.oneof(
  fc.nat({ max: 300 }),
  fc.constantFrom(-1, 0, 60_000, 65_384, 65_385, 100_000, 262_144 - 152, 300_000),
);
const step = fc.record({
  verb: fc.constantFrom("keep", "keep", "keep", "recall", "drop", "wait"),
  key: fc.nat({ max: keys.length - 1 }),
  bytes: sizes,
});

t.test("what is recalled is what was kept last, to the octet, and for as long as it is believed", (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      let nowMs = 1000;
      const known = new KnownAnswers(1 << 26, () => nowMs);
      const reference = new Map<RecordKey, { final: Final; atMs: number }>();
      const recalled: { final: Final; wanted: string }[] = [];
      for (const [serial, { verb, key: at, bytes }] of steps.entries()) {
        const key = keys[at]!;
        if (verb === "keep") {
          known.keep(key, answerOf(serial, bytes), nowMs);
          reference.set(key, { final: answerOf(serial, bytes), atMs: nowMs });
        } else if (verb === "drop") {
          known.drop(key);
          reference.delete(key);
        } else if (verb === "wait") {
          nowMs += 200;
        } else {
          const found = known.recall(key);
          const wanted = reference.get(key);
          const isFresh = wanted !== undefined && nowMs - wanted.atMs < freshMs;
          if (isFresh !== (found !== undefined)) return false;
          if (found === undefined || wanted === undefined) continue;
          const text = plain(wanted.final, nowMs - wanted.atMs);
          if (plain(found) !== text) return false;
          recalled.push({ final: found, wanted: text });
        }
      }
      known.clear();
      // Views that were handed out are not written over, whatever came after.
      return recalled.every(({ final, wanted }) => plain(final) === wanted);
    }),
    runs(100, 500),
  );
  t.end();
});

t.test("within its bytes, whatever is kept", (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat({ max: 11 }), fc.nat({ max: 3_000 })), { maxLength: 300 }), (kept) => {
      const known = new KnownAnswers(10_000, () => 1000);
      for (const [serial, [at, bytes]] of kept.entries()) {
        known.keep(keys[at]!, answerOf(serial, bytes), 1000);
        if (serial % 3 === 0) known.recall(keys[at]!);
      }
      const bytes = keys
        .map((key) => known.recall(key))
        .map((found) => (found?.kind === "done" ? found.response.body.length : 0));
      known.clear();
      return bytes.reduce((sum, one) => sum + one, 0) <= 10_000;
    }),
    runs(50, 200),
  );
  t.end();
});

t.test("two keys whose digits look alike are two keys", (t) => {
  const known = new KnownAnswers(1 << 20, () => 1000);
  const [one, other] = [`${"0".repeat(8)}${"a".repeat(56)}`, `${"0".repeat(8)}${"b".repeat(56)}`] as RecordKey[];
  known.keep(one!, answerOf(1, 10), 1000);
  t.equal(known.recall(other!), undefined);
  t.equal(known.recall(one!)?.fingerprint, answerOf(1, 10).fingerprint);
  t.equal(known.recall(other!), undefined, "also when the first has been recalled");
  known.keep(other!, answerOf(2, 10), 1000);
  t.equal(known.recall(one!), undefined, "one of them is forgotten");
  t.equal(known.recall(other!)?.fingerprint, answerOf(2, 10).fingerprint);
  known.clear();
  t.end();
});

function plain(final: Final, elapsedMs = 0): string {
  if (final.kind === "notReplayable") return JSON.stringify(final);
  const { fingerprint, ageMs, response } = final;
  return JSON.stringify([
    fingerprint,
    ageMs + elapsedMs,
    { ...response, body: digest(response.body.toString("latin1")) },
  ]);
}
