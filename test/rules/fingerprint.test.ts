import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import t from "tap";
import type { Policy } from "../../src/model.js";
import { canonicalJson } from "../../src/rules/canonical-json.js";
import { type FingerprintInput, fingerprint } from "../../src/rules/fingerprint.js";
import { isJson, JsonBody, maxDepth } from "../../src/rules/json.js";
import { runs } from "../property-runs.js";
import { samplePolicy } from "../sample-config.js";

type Compared = Policy["fingerprint"];

const of = (changes: Partial<FingerprintInput> = {}, policy: Partial<Compared> = {}) => {
  const body = changes.body ?? Buffer.from('{"amount":1}');
  const input = { method: "POST", path: "/a", query: "x=1", rawHeaders: [], isOverridden: false, ...changes };
  return fingerprint({ ...samplePolicy.fingerprint, ...policy }, { ...input, body });
};
const ofBody = (body: string | Buffer, policy: Partial<Compared> = { body: "json" }) =>
  of({ body: Buffer.from(body as string) }, policy);

t.test("method, path, query, listed fields, overrides and body all count", async (t) => {
  const listed = { headers: ["x-a", "x-b"] };
  const prints = [
    of(),
    of({ method: "PATCH" }),
    of({ path: "/b" }),
    of({ query: "x=2" }),
    of({ query: undefined }),
    of({ query: "x" }),
    of({ query: "x=" }),
    of({ query: "x=1&x=2" }),
    of({ query: "x=2&x=1" }),
    of({ query: "x=%zz" }),
    of({ query: "x=%25zz" }),
    of({ query: "_method=PUT", isOverridden: true }),
    of({ query: "_method=PUT" }),
    of({ path: "/a?x=1", query: undefined }),
    of({ body: Buffer.from('{"amount":2}') }),
    of({ body: Buffer.alloc(0) }),
    of({}, listed),
    of({ rawHeaders: ["X-A", ""] }, listed),
    of({ rawHeaders: ["X-A", "1"] }, listed),
    of({ rawHeaders: ["X-B", "1"] }, listed),
    of({ rawHeaders: ["X-A", "1", "X-A", "2"] }, listed),
    of({ rawHeaders: ["X-A", "2", "X-A", "1"] }, listed),
    of({ rawHeaders: ["X-A", "12"] }, listed),
    of({ rawHeaders: ["X-HTTP-Method", "PUT"], isOverridden: true }),
    of({ rawHeaders: ["X-HTTP-Method", "put"], isOverridden: true }),
    of({ rawHeaders: ["X-HTTP-Method-Override", "PUT"], isOverridden: true }),
    of({}, { query: false }),
    of({}, { body: "none" }),
    of({}, { body: "json" }),
  ];
  t.equal(new Set(prints).size, prints.length);
  for (const print of prints) t.match(print, /^[0-9a-f]{64}$/);
});

t.test("nothing else counts", async (t) => {
  t.equal(of({ rawHeaders: ["X-Request-Id", "1"] }), of({ rawHeaders: ["X-Request-Id", "2"] }));
  t.equal(
    of({ rawHeaders: ["x-a", "1"] }, { headers: ["x-a"] }),
    of({ rawHeaders: ["X-A", "1", "Y", ""] }, { headers: ["x-a"] }),
  );
  t.equal(of({ query: "x=1" }, { query: false }), of({ query: undefined }, { query: false }));
  t.equal(of({ body: Buffer.from("a") }, { body: "none" }), of({ body: Buffer.from("b") }, { body: "none" }));
});

t.test("bodies are compared by every octet, on both sides of every size", async (t) => {
  const prints = new Set<string>();
  let bodies = 0;
  for (const size of [0, 1, 1023, 1024, 1025, 2048, 100_000]) {
    for (const place of new Set([0, size >> 1, size - 1])) {
      for (const octet of [0x00, 0x7f, 0x80, 0xff]) {
        const body = Buffer.alloc(size, 0x61);
        if (size > 0) body[place] = octet;
        if (size === 0 && octet > 0) continue;
        if (size === 0 && place !== 0) continue;
        prints.add(ofBody(body, { body: "bytes" }));
        bodies++;
      }
    }
  }
  t.equal(prints.size, bodies);
});

t.test("JSON is compared whatever the order of members, the white space and the escapes", async (t) => {
  const known = ofBody('{"a":1,"b":[true,null,"x/y"],"c":{"d":1.0,"e":"é"}}');
  for (const same of [
    ' {\n"b" : [ true , null,"x\\/y" ],\t"c":{"e":"\\u00e9","d":1.0},"a":1}\r\n',
    '{"\\u0061":1,"b":[true,null,"\\u0078/y"],"c":{"d":1.0,"e":"é"}}',
  ]) {
    t.equal(ofBody(same), known, same);
  }
  for (const other of [
    '{"a":1.0,"b":[true,null,"x/y"],"c":{"d":1.0,"e":"é"}}',
    '{"a":1,"b":[null,true,"x/y"],"c":{"d":1.0,"e":"é"}}',
    '{"a":"1","b":[true,null,"x/y"],"c":{"d":1.0,"e":"é"}}',
    '{"a":1,"b":[true,null,"x/y"],"c":{"d":1.0,"e":"e\\u0301"}}',
    '{"a":1,"b":[true,null,"x/y"],"c":{"d":1.0,"e":"é","f":null}}',
    '{"a":1,"b":[true,"null","x/y"],"c":{"d":1.0,"e":"é"}}',
  ]) {
    t.not(ofBody(other), known, other);
  }
});

t.test("numbers are compared as text: none is rounded", async (t) => {
  const texts = [
    "9007199254740993",
    "9007199254740992",
    "1",
    "1.0",
    "1e0",
    "1E0",
    "10e-1",
    "-0",
    "0",
    "0.0",
    "1e400",
    "1e401",
  ];
  t.equal(new Set(texts.map((text) => ofBody(`[${text}]`))).size, texts.length);
});

t.test("what is no JSON, or repeats a member, is compared by its octets and never meets what is JSON", async (t) => {
  const broken = [
    "",
    "{",
    '{"a":1,}',
    "[1,]",
    "01",
    "+1",
    "1.",
    "NaN",
    "'a'",
    '"\t"',
    '"\\x"',
    "[1]x",
    "\ufeff[1]",
    "tru",
    '{"a" 1}',
    "[1 2]",
    "\x0b1",
    "\xa01",
  ];
  for (const text of broken) {
    const body = Buffer.from(text);
    t.notOk(isJson(body), JSON.stringify(text));
    t.equal(ofBody(body), ofBody(body, { body: "bytes" }), JSON.stringify(text));
  }
  for (const body of [Buffer.from([0x22, 0xff, 0x22]), Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])]) {
    t.notOk(isJson(body), "no UTF-8, as a surrogate is not either");
    t.equal(canonicalJson(body, []), undefined);
  }
  for (const text of ['{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '[{"b":{"":1,"":2}}]', '{"__proto__":1,"__proto__":2}']) {
    t.ok(isJson(Buffer.from(text)), text);
    t.equal(ofBody(text), ofBody(text, { body: "bytes" }), text);
    t.not(ofBody(text), ofBody(` ${text}`), "white space counts then");
  }
  t.not(ofBody("1"), ofBody("1", { body: "bytes" }), "the same octets, compared in two ways");
  t.not(
    ofBody('{"b":{"x":1,"x":2},"a":1}', { body: "json", ignore: [["b"]] }),
    ofBody('{"a":1,"b":{"x":1,"x":2}}', { body: "json", ignore: [["b"]] }),
    "repeats where it is ignored, too",
  );
});

t.test("lone surrogates stay apart from each other and from what they look like", async (t) => {
  const texts = ['"\\ud800"', '"\\udc00"', '"\\ufffd"', '"\\\\ud800"', '"\\ud83d\\ude00"', '"\\ude00\\ud83d"'];
  t.equal(new Set(texts.map((text) => ofBody(text))).size, texts.length);
  t.equal(String(canonicalJson(Buffer.from('"\\uD800"'), [])), '"\\ud800"', "well-formed, whatever hashes it");
  t.equal(ofBody('"\\uD83D\\uDE00"'), ofBody('"😀"'));
});

t.test("members that look like the prototype's are members", async (t) => {
  t.not(ofBody('{"__proto__":{"a":1}}'), ofBody("{}"));
  const at = (text: string, ...pointer: string[]) => new JsonBody(Buffer.from(text)).valueAt(pointer);
  t.same(at('{"__proto__":"x"}', "__proto__"), { kind: "string", text: "x" });
  t.equal(at("{}", "constructor"), undefined);
  t.equal(at("[1]", "length"), undefined);
});

t.test("ignored pointers are left out, wherever they lead, and nothing else is", async (t) => {
  const ignoring = (body: string, ...pointers: string[][]) => ofBody(body, { body: "json", ignore: pointers });
  const at = ["meta", "sent/at"];
  t.equal(ignoring('{"a":1,"meta":{"sent/at":1,"x":2}}', at), ignoring('{"meta":{"x":2,"sent/at":[{}]},"a":1}', at));
  t.equal(ignoring('{"meta":{"sent/at":1}}', at), ignoring('{"meta":{}}', at));
  t.not(ignoring('{"meta":{}}', at), ignoring("{}", at));
  t.not(ignoring('{"meta":{"x":1}}', at), ignoring('{"meta":{"x":2}}', at));
  t.not(ignoring('{"sent/at":1}', at), ignoring('{"sent/at":2}', at));
  t.equal(ignoring('[{"a":1},{"a":2}]', ["1", "a"]), ignoring('[{"a":1},{"a":3}]', ["1", "a"]));
  t.not(ignoring('[{"a":1},{"a":2}]', ["1", "a"]), ignoring('[{"a":2},{"a":2}]', ["1", "a"]));
  t.equal(ignoring('{"a":1,"b":2,"c":3}', ["a"], ["b"]), ignoring('{"c":3}', ["a"], ["b"]));
  t.equal(ignoring("[1,2,3]", ["1"]), ignoring("[1,9,3]", ["1"]));
  t.equal(ignoring("[1]", ["0"]), ignoring("[]", ["0"]));
  t.not(ignoring('{"a":1,"a":2}', ["a"]), ignoring('{"a":1,"a":3}', ["a"]), "what is left out may not repeat either");
});

t.test("nesting as deep as anybody means is read, and deeper is compared by its octets", async (t) => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  t.ok(isJson(Buffer.from(nested(maxDepth))));
  t.notOk(isJson(Buffer.from(nested(maxDepth + 2))));
  const abyss = nested(50_000);
  t.equal(ofBody(abyss), ofBody(abyss, { body: "bytes" }));
});

/** JSON values that `JSON.stringify` and `JSON.parse` keep as they are, so that those two can be the model. */
const value = fc.jsonValue({ maxDepth: 4, noUnicodeString: false }).map((one) => JSON.parse(JSON.stringify(one)));

/** The same value as another text: members shuffled, white space and escapes strewn in. */
function respelled(one: unknown, random: () => number): string {
  const space = () => ["", " ", "\n", "\t \r"][random() % 4]!;
  const text = (word: string) =>
    `"${Array.from({ length: word.length }, (_, i) => {
      const code = word.charCodeAt(i);
      const mustEscape = code < 0x20 || code === 0x22 || code === 0x5c || (code >= 0xd800 && code <= 0xdfff);
      return mustEscape || random() % 4 === 0 ? `\\u${code.toString(16).padStart(4, "0")}` : word[i];
    }).join("")}"`;
  if (typeof one === "string") return text(one);
  if (Array.isArray(one)) return `[${space()}${one.map((item) => respelled(item, random) + space()).join(",")}]`;
  if (one === null || typeof one !== "object") return JSON.stringify(one);
  const entries = Object.entries(one).sort(() => (random() % 2) * 2 - 1);
  const members = entries.map(
    ([name, member]) => `${space()}${text(name)}${space()}:${space()}${respelled(member, random)}`,
  );
  return `{${members.join(`${space()},`)}${space()}}`;
}

const random = fc.infiniteStream(fc.nat()).map((stream) => () => stream.next().value as number);

t.test("property: a respelled document has the same fingerprint", async () => {
  fc.assert(
    fc.property(value, random, (one, next) => ofBody(respelled(one, next)) === ofBody(JSON.stringify(one))),
    runs(200, 2000),
  );
});

t.test("property: two documents have one canonical text only when they are equal", async () => {
  const text = fc
    .array(fc.constantFrom("a", "b", '"', ",", ":", "{", "\\", "1"), { maxLength: 2 })
    .map((parts) => parts.join(""));
  const { small } = fc.letrec<{ small: unknown }>((tie) => ({
    small: fc.oneof(
      { maxDepth: 3 },
      text,
      fc.constantFrom(null, true, 1, 11, 1.5),
      fc.array(tie("small"), { maxLength: 2 }),
      fc.dictionary(text, tie("small"), { maxKeys: 2 }),
    ),
  }));
  /** Another notation of the same value, in which no two values look alike. */
  const model = (one: unknown): unknown => {
    if (Array.isArray(one)) return { list: one.map(model) };
    if (one === null || typeof one !== "object") return one;
    const entries = Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1));
    return { members: entries.map(([name, member]) => [name, model(member)]) };
  };
  const seen = new Map<string, string>();
  fc.assert(
    fc.property(small, (one) => {
      const canonical = String(canonicalJson(Buffer.from(JSON.stringify(one)), []));
      const modelled = JSON.stringify(model(one));
      const known = seen.get(canonical);
      seen.set(canonical, modelled);
      return known === undefined || known === modelled;
    }),
    runs(300, 3000),
  );
});

t.test("property: what is valid, and what it means, is what JSON.parse says", async () => {
  const tokens = ["{", "}", "[", "]", ",", ":", '"a"', '"b"', '"', "1", "-1.5e3", "true", "null", " ", "\\", "0", "\n"];
  const membersOf = (one: unknown): number => {
    if (one === null || typeof one !== "object") return 0;
    const own = Array.isArray(one) ? 0 : Object.keys(one).length;
    return Object.values(one).reduce((sum: number, inner) => sum + membersOf(inner), own);
  };
  const namesIn = (source: string) =>
    [...source.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/gs)].filter(([, colon]) => colon !== undefined).length;
  const text = fc.oneof(
    fc.array(fc.constantFrom(...tokens), { maxLength: 12 }).map((parts) => parts.join("")),
    fc.json(),
    fc.tuple(value, random).map(([one, next]) => respelled(one, next)),
  );
  fc.assert(
    fc.property(text, (source) => {
      const body = Buffer.from(source);
      let theirs: unknown;
      try {
        theirs = JSON.parse(source);
      } catch {
        return !isJson(body) && canonicalJson(body, []) === undefined;
      }
      const canonical = canonicalJson(body, []);
      // A member that repeats is lost in theirs.
      if (namesIn(source) > membersOf(theirs)) return isJson(body) && canonical === undefined;
      return isJson(body) && isDeepStrictEqual(JSON.parse(String(canonical)), theirs);
    }),
    runs(300, 3000),
  );
});
