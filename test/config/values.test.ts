// biome-ignore-all lint/suspicious/noTemplateCurlyInString: this is how the configuration names the environment
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import t from "tap";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/config/duration.js";
import { type Expansion, expand } from "../../src/config/expand.js";
import { editDistance, nearest } from "../../src/config/nearest.js";
import { canonicalPattern } from "../../src/config/path-pattern.js";
import { runs } from "../property-runs.js";

const messageOf = (result: { ok: boolean; message?: string }) => (result.ok ? "" : result.message);

t.test("a duration is milliseconds, whatever its unit", (t) => {
  const known: Record<string, number> = {
    "250ms": 250,
    "30s": 30_000,
    "15m": 900_000,
    "24h": 86_400_000,
    "7d": 604_800_000,
    "1h30m": 5_400_000,
    "1m500ms": 60_500,
    "1.5s": 1500,
    "0.1s": 100,
    "0": 0,
    "0s": 0,
  };
  for (const [text, ms] of Object.entries(known)) t.same(parseDuration(text), { ok: true, value: ms }, text);
  t.end();
});

t.test("a duration that could be misread is refused, with what was probably meant", (t) => {
  t.match(messageOf(parseDuration("30")), "30 has no unit; did you mean 30s?");
  t.match(messageOf(parseDuration("30 S")), "did you mean 30s?");
  t.match(messageOf(parseDuration("0.0001s")), "finer than a millisecond");
  for (const text of ["", "s", "-1s", "1w", "30m1h", "1s1s", "1.5", "1e3s", "١s", "30sec"]) {
    t.equal(parseDuration(text).ok, false, JSON.stringify(text));
  }
  t.end();
});

t.test("a size is bytes, in binary units only", (t) => {
  const known: Record<string, number> = {
    "0": 0,
    "17": 17,
    "5B": 5,
    "512KiB": 524_288,
    "1MiB": 1_048_576,
    "1.5KiB": 1536,
    "2GiB": 2 ** 31,
  };
  for (const [text, bytes] of Object.entries(known)) t.same(parseSize(text), { ok: true, value: bytes }, text);
  t.match(messageOf(parseSize("1MB")), "did you mean 1MiB?");
  t.match(messageOf(parseSize("512 k")), "did you mean 512KiB?");
  t.match(messageOf(parseSize("0.3B")), "not a whole number of bytes");
  t.match(messageOf(parseSize("99999999GiB")), "too large");
  for (const text of ["", "-1", "1TiB", "KiB", "0x10"]) t.equal(parseSize(text).ok, false, JSON.stringify(text));
  t.end();
});

t.test("what is written by one is read by the other", (t) => {
  fc.assert(
    fc.property(fc.nat({ max: Number.MAX_SAFE_INTEGER }), (value) => {
      const read = [parseDuration(formatDuration(value)), parseSize(formatSize(value))];
      return read.every((result) => isDeepStrictEqual(result, { ok: true, value }));
    }),
  );
  t.end();
});

t.test("no text makes a duration or a size that is not a whole, finite number", (t) => {
  const almost = fc.stringMatching(/^[0-9.]{0,18}(d|h|m|s|ms|B|KiB|MiB|GiB| )?[0-9]{0,3}(s|ms)?$/);
  fc.assert(
    fc.property(fc.oneof(fc.string(), almost), (text) => {
      const read = [parseDuration(text), parseSize(text)];
      return read.every((result) => !result.ok || (Number.isSafeInteger(result.value) && result.value >= 0));
    }),
    runs(100, 500),
  );
  t.end();
});

t.test("the environment is filled in, with the default for what is unset or empty", (t) => {
  const env = { A: "one", EMPTY: "", TRICKY: "${A} $${A}" };
  const value = (source: string) => (expand(source, env) as Expansion & { ok: true }).value;
  t.equal(value("x-${A}-${A}"), "x-one-one");
  t.equal(value("${NONE:-two}${EMPTY:-three}"), "twothree");
  t.equal(value("${EMPTY}${NONE:-}"), "");
  t.equal(value("${NONE:-a:-b}"), "a:-b");
  t.equal(value("$${A} $A $$ $"), "${A} $A $$ $");
  t.equal(value("${TRICKY}"), "${A} $${A}", "what comes from the environment is not looked at again");
  t.end();
});

t.test("every expansion that cannot be made is told", (t) => {
  const messages = (source: string) => (expand(source, { A: "1" }) as Expansion & { ok: false }).messages;
  t.match(messages("${NO} ${A} ${NEITHER}"), [/the environment has no NO,/, /no NEITHER,/]);
  t.match(messages("${A"), [/never closed/]);
  t.match(messages("${A.b}"), [/\$\{A\.b\} is not \$\{NAME\}/]);
  t.match(messages("${}"), [/is not \$\{NAME\}/]);
  t.match(messages("${NO:-${A}}"), [/may not hold another/]);
  t.match(messages("${toString}"), [/no toString/], "an object's own names only");
  t.end();
});

t.test("a value from the environment arrives as it is, and nothing else of the text changes", (t) => {
  const special = fc.constantFrom("$", "{", "}", "${NAME}", "\n- x: ", '"', "#", "\0", "é", "$&");
  const anything = fc.string({ unit: fc.oneof(special, fc.string({ minLength: 1, maxLength: 1 })) });
  const around = fc.string().map((text) => text.replaceAll("$", ""));
  fc.assert(
    fc.property(around, anything, around, (before, inserted, after) => {
      const value = `${before}${inserted}${after}`;
      return isDeepStrictEqual(expand(`${before}\${NAME}${after}`, { NAME: inserted }), {
        ok: true,
        value,
        expanded: true,
      });
    }),
  );
  t.end();
});

t.test("any text can be written with the escape", (t) => {
  const value = fc.string({ unit: fc.constantFrom("$", "{", "}", "A", ":", "-", " ") });
  fc.assert(
    fc.property(value, (text) => {
      const result = expand(
        text.replaceAll("${", () => "$${"),
        { A: "never" },
      );
      return result.ok && result.value === text;
    }),
    runs(200, 1000),
  );
  t.end();
});

t.test("the nearest name forgives slips of the finger and other people's spelling, and no more", (t) => {
  const known = ["maxWaiters", "lease", "retention", "drainTimeout"];
  t.equal(nearest("maxwaiter", known), "maxWaiters");
  t.equal(nearest("max_waiters", known), "maxWaiters");
  t.equal(nearest("laese", known), "lease");
  t.equal(nearest("drainTimout", known), "drainTimeout");
  t.equal(nearest("cache", known), undefined);
  t.equal(editDistance("ab", "ba"), 1, "a swap is one slip");
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b);
      const isMeasure = distance === editDistance(b, a) && (distance === 0) === (a === b);
      return isMeasure && distance <= Math.max(a.length, b.length);
    }),
  );
  t.end();
});

t.test("patterns that take the same requests are one", (t) => {
  const one = (path: string) => canonicalPattern(path, false);
  t.equal(one("/v1/Orders/:id/"), one("/%761/orders/:order"));
  t.equal(one("/"), "/");
  t.equal(one("/caf%c3%a9"), one("/Café".toLowerCase()));
  t.not(canonicalPattern("/A", true), canonicalPattern("/a", true));
  t.not(one("/a/*"), one("/a/:b"));
  t.not(one("/a%2fb"), one("/a/b"));
  t.end();
});
