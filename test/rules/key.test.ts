import fc from "fast-check";
import t from "tap";
import type { Policy, ScopeSource, Source } from "../../src/model.js";
import { type Framable, frame, sha256 } from "../../src/rules/frame.js";
import { JsonBody } from "../../src/rules/json.js";
import { forwardedTarget, readKey, recordKey, withheldHeaders } from "../../src/rules/key.js";
import { probeNeedsBody, probeTarget } from "../../src/rules/probe-target.js";
import { readScope } from "../../src/rules/scope.js";
import { BodyReader, needsBody, type SourceInput, sourceName } from "../../src/rules/source.js";
import { structuredString } from "../../src/rules/structured-string.js";
import { runs } from "../property-runs.js";
import { samplePolicy } from "../sample-config.js";

interface Request {
  readonly headers?: readonly string[];
  readonly host?: string;
  readonly query?: string;
  readonly params?: Record<string, string>;
  readonly body?: string | Buffer;
}

function inputOf({ headers = [], host = "a.test", query, params = {}, body = "" }: Request): SourceInput {
  const reader = new BodyReader(Buffer.from(body as string), headers);
  return { rawHeaders: headers, host, query, params, body: reader };
}

const policyOf = (changes: Partial<Policy["key"]> = {}): Policy["key"] => ({ ...samplePolicy.key, ...changes });
const header = (name: string): Source => ({ from: "header", name });
const inHeader = (value: string, changes: Partial<Policy["key"]> = {}) =>
  readKey(policyOf(changes), inputOf({ headers: ["idempotency-KEY", value] }));

t.test("a key is taken as sent, in its letter case, without the space around it", async (t) => {
  t.match(inHeader("abc-DEF_123"), { kind: "key", values: ["abc-DEF_123"], raw: "abc-DEF_123" });
  t.match(inHeader(" \tabc "), { kind: "key", values: ["abc"], raw: "abc" });
});

t.test("the quoted and the plain form are one key", async (t) => {
  for (const form of ['"abc"', '"abc";x=1', '"abc" ; x', '"abc"; a="b\\"c";b=?1;c=:YQ==:;d=tok/en;e=1.5;*f']) {
    const reading = inHeader(form);
    if (form.includes(" ;")) t.equal(reading.kind, "invalid", "a space before the semicolon is not in the grammar");
    else t.match(reading, { kind: "key", values: ["abc"] }, form);
  }
  t.match(inHeader('"a\\"b\\\\c"'), { values: ['a"b\\c'] });
  t.match(inHeader('"abc'), { kind: "key", values: ['"abc'] }, "half a quotation is a plain key");
});

t.test("strict takes a structured-field string and nothing else", async (t) => {
  const strict = { strict: true };
  t.match(inHeader('"abc"', strict), { kind: "key", values: ["abc"] });
  t.match(inHeader('"abc";v=2', strict), { kind: "key", values: ["abc"] });
  for (const value of [
    "abc",
    "1",
    ":YWJj:",
    "?1",
    '"abc',
    '"a" "b"',
    '"a", "b"',
    '"a\\b"',
    '"\xe9"',
    '("abc")',
    '"abc";',
    '"abc";X=1',
  ]) {
    t.equal(inHeader(value, strict).kind, "invalid", value);
  }
  t.match(inHeader('""', strict), { kind: "missing", raw: "" });
  t.match(inHeader("", strict), { kind: "missing", raw: "" });
});

t.test("a structured-field string is unescaped, and any other value is none", async (t) => {
  t.equal(structuredString('"a b"'), "a b");
  t.equal(structuredString('  "x"  '), "x");
  t.equal(structuredString('""'), "");
  for (const value of ['"\t"', '"\x7f"', '"a"b', '"a";=1', '"a";a=', '"a";a=é', "a", "", '\t"a"']) {
    t.equal(structuredString(value), undefined, JSON.stringify(value));
  }
  fc.assert(
    fc.property(
      fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) }),
      (text) => {
        const quoted = `"${text.replace(/["\\]/g, "\\$&")}"`;
        return structuredString(quoted) === text;
      },
    ),
  );
});

t.test("absent and empty keys are missing where one is required", async (t) => {
  t.match(readKey(policyOf(), inputOf({})), { kind: "missing", raw: undefined });
  t.match(inHeader(""), { kind: "missing", raw: "" });
  t.match(inHeader('""'), { kind: "missing", raw: "" });
  t.same(readKey(policyOf({ required: false }), inputOf({})), { kind: "none" });
});

t.test("too long, malformed and repeated keys are invalid", async (t) => {
  t.equal(inHeader("x".repeat(255)).kind, "key");
  t.equal(inHeader(`"${"x".repeat(255)}"`).kind, "key", "the quotes do not count");
  t.equal(inHeader("x".repeat(256)).kind, "invalid");
  for (const value of ["a b", "a,b", "a\xe9", "a\x01", "\xa0a"])
    t.match(inHeader(value), { kind: "invalid", raw: value });
  const twice = readKey(policyOf(), inputOf({ headers: ["Idempotency-Key", "a", "idempotency-key", "a"] }));
  t.match(twice, { kind: "invalid", raw: "a, a" });
  t.equal(inHeader("ab", { pattern: /^[0-9]+$/ }).kind, "invalid");
});

t.test("a key in the query is form-decoded, under a name in any spelling", async (t) => {
  const key = (query: string | undefined, changes: Partial<Policy["key"]> = {}) =>
    readKey(
      policyOf({ sources: [{ from: "query", name: "the key" }], ...changes }),
      inputOf(query === undefined ? {} : { query }),
    );
  for (const query of ["the+key=a-b", "x=1&the%20key=a%2Db&y", "th%65+key=a-b"])
    t.match(key(query), { values: ["a-b"] }, query);
  for (const query of ["the+key=a&the%20key=a", "the+key=%", "the+key=%ff", "the+key=a+b"])
    t.equal(key(query).kind, "invalid", query);
  for (const query of ["the+key=", "the+key", "x=1&the+key="]) t.match(key(query), { kind: "missing", raw: "" }, query);
  for (const query of [undefined, "", "x=the+key", "%=1", "theXkey=a"])
    t.match(key(query), { kind: "missing", raw: undefined }, String(query));
});

t.test("a key in the path is its parameter, and invalid where that is no text", async (t) => {
  const policy = policyOf({ sources: [{ from: "path", name: "id" }] });
  t.match(readKey(policy, inputOf({ params: { id: "AbC" } })), { values: ["AbC"] });
  t.equal(readKey(policy, inputOf({ params: {} })).kind, "invalid");
});

t.test("a key in the body is a string, or a number as it is written", async (t) => {
  const key = (body: string | Buffer) =>
    readKey(policyOf({ sources: [{ from: "body", pointer: ["a/b", "0", ""] }] }), inputOf({ body }));
  t.match(key('{"a/b":[{"":"x\\u002dy"}]}'), { values: ["x-y"] });
  t.match(key('{"a/b":[{"":9007199254740993}]}'), { values: ["9007199254740993"] });
  t.match(key('{"a/b":[{"":1.0e0}]}'), { values: ["1.0e0"] });
  t.match(key('{"a/b":[{"":""}]}'), { kind: "missing", raw: "" });
  for (const body of [
    "",
    "{",
    '{"a/b":[{"":null}]}',
    '{"a/b":[{"":true}]}',
    '{"a/b":[{"":{}}]}',
    '{"a/b":{"0":1}}',
    "[]",
    '"x"',
  ]) {
    t.match(key(body), { kind: "missing", raw: undefined }, body);
  }
  t.match(key(Buffer.from('\ufeff{"a/b":[{"":"x"}]}')), { kind: "missing" }, "a byte order mark is no JSON");
  t.equal(key('{"a/b":[{"":"x","":"x"}]}').kind, "invalid");
  t.equal(key('{"a/b":[],"a\\/b":[{"":"x"}]}').kind, "invalid", "repeated on the way, in another spelling");
  t.match(key('{"z":1,"z":2,"a/b":[{"":"x"}]}'), { values: ["x"] }, "repeated elsewhere");
  t.equal(key('{"a/b":[{"":"\\ud800"}]}').kind, "invalid", "a lone surrogate is not in the pattern");
});

t.test("of several sources all are needed, and a mistake beats an absence", async (t) => {
  const sources: Source[] = [header("A"), { from: "query", name: "b" }];
  const key = (headers: readonly string[], query: string, required = true) =>
    readKey(policyOf({ sources, required }), inputOf({ headers, query }));
  t.same(key(["A", "1"], "b=2"), { kind: "key", values: ["1", "2"], raw: "1, 2", sources });
  t.match(key(["A", "1"], ""), { kind: "missing", raw: undefined });
  t.same(key(["A", "1"], "", false), { kind: "none" });
  t.equal(key([], "b=1&b=1").kind, "invalid");
  t.match(key([], "b="), { kind: "missing", raw: "" });
});

t.test("needsBody tells whether key or scope are in the body, and sourceName how that is written", async (t) => {
  const inBody: ScopeSource = { from: "body", pointer: ["a/b", "~"], optional: true };
  t.equal(needsBody(samplePolicy), false);
  t.equal(needsBody({ ...samplePolicy, scope: [inBody] }), true);
  t.equal(needsBody({ ...samplePolicy, key: policyOf({ sources: [header("a"), inBody] }) }), true);
  t.equal(sourceName(inBody), "body:/a~1b/~0");
  t.equal(sourceName(header("Idempotency-Key")), "header:Idempotency-Key");
});

t.test("what is not forwarded is named, and taken out of the query without touching the rest", async (t) => {
  const sources: Source[] = [header("Idempotency-Key"), { from: "query", name: "key" }];
  t.same(withheldHeaders(policyOf({ sources })), []);
  t.same(withheldHeaders(policyOf({ sources, forward: false })), ["idempotency-key"]);
  const target = (text: string, forward = false) => forwardedTarget(policyOf({ sources, forward }), text);
  t.equal(target("/a?key=1&b=%zz&&c"), "/a?b=%zz&&c");
  t.equal(target("/a?b&k%65y=1"), "/a?b");
  t.equal(target("/a?key=1"), "/a");
  for (const text of ["/a", "/a?", "/a?b=key", "/key=1?x"]) t.equal(target(text), text);
  t.equal(target("/a?key=1", true), "/a?key=1");
});

t.test("a scope counts every value in order, and absent is not empty", async (t) => {
  const sources: ScopeSource[] = [
    { ...header("Authorization"), optional: true },
    { ...header("X-Tenant"), optional: false },
  ];
  const scope = (...headers: string[]) => readScope(sources, inputOf({ headers }));
  t.match(scope("x-tenant", "1"), { kind: "scope", values: [undefined, ["1"]] });
  t.match(scope("authorization", "", "x-tenant", "1"), { kind: "scope", values: [[""], ["1"]] });
  t.match(scope("X-Tenant", "1", "X-Tenant", "2"), { kind: "scope", values: [undefined, ["1", "2"]] });
  for (const headers of [[], ["Authorization", "x"], ["X-Tenant", ""]])
    t.match(scope(...headers), { kind: "missing", detail: /X-Tenant/ });
  const inPath: ScopeSource = { from: "path", name: "org", optional: true };
  t.equal(readScope([inPath], inputOf({})).kind, "missing", "no text is not absence");
});

t.test("a record's key is another one when anything in it is, and nothing moves between its parts", async (t) => {
  const known = recordKey("pay", [["a"]], ["k"]);
  t.match(known, /^[0-9a-f]{64}$/);
  t.equal(recordKey("pay", [["a"]], ["k"]), known);
  const others: [string, readonly Framable[], readonly string[]][] = [
    ["Pay", [["a"]], ["k"]],
    ["pay", [["a"]], ["K"]],
    ["pay", [["a"], undefined], ["k"]],
    ["pay", [["a", ""]], ["k"]],
    ["pay", [undefined], ["k"]],
    ["pay", [[""]], ["k"]],
    ["pay", [["a"]], ["k", ""]],
    ["pay", [], ["a", "k"]],
    ["paya", [], ["k"]],
    ["pay", [["ak"]], [""]],
  ];
  t.equal(new Set([known, ...others.map((parts) => recordKey(...parts))]).size, others.length + 1);
  t.not(recordKey("n", [], ["a", "bc"]), recordKey("n", [], ["ab", "c"]));
});

t.test("property: two framings are equal only for equal parts", async () => {
  // Few characters, among them those that framing is made of, and lone surrogates with what they decay to.
  const text = fc.array(fc.constantFrom("0", "1", ":", "[", ";", "-", "!", '"', "\ud800", "\udc00", "\ufffd", "é"), {
    maxLength: 4,
  });
  const word = text.map((parts) => parts.join(""));
  const { part } = fc.letrec<{ part: Framable }>((tie) => ({
    part: fc.oneof({ maxDepth: 3 }, word, fc.constant(undefined), fc.array(tie("part"), { maxLength: 3 })),
  }));
  // `\x00undefined` is no text that is made above.
  const model = (value: Framable) => JSON.stringify(value, (_, one) => (one === undefined ? "\x00undefined" : one));
  const seen = new Map<string, string>();
  fc.assert(
    fc.property(part, (value) => {
      const known = seen.get(sha256(frame(value)));
      seen.set(sha256(frame(value)), model(value) ?? "\x00undefined");
      return known === undefined || known === (model(value) ?? "\x00undefined");
    }),
    runs(2000, 20_000),
  );
});

t.test("a probe's URL takes values that cannot change its structure", async (t) => {
  const body = Buffer.from('{"a":{"b/c":"x y"},"n":1e3,"t":true}');
  const expand = (template: string, key: readonly string[] = ["k"], params: Record<string, string> = {}) =>
    probeTarget(template, { key, params, body: { json: new JsonBody(body) } });
  t.equal(expand("http://u:1/by-key/{key}"), "http://u:1/by-key/k");
  t.equal(
    expand("http://u/{path.id}/{key}?q={body:/a/b~1c}&n={body:/n}", ["k"], { id: "é" }),
    "http://u/%C3%A9/k?q=x%20y&n=1e3",
  );
  t.equal(expand("http://u/{key}", ["a", "b/c"]), "http://u/a,b%2Fc");
  t.equal(expand("http://u/x"), "http://u/x");
  const hostile = [
    "/",
    "a/../b",
    "?x",
    "#x",
    "%2e%2e",
    "a&b=c",
    "\\",
    "//evil",
    "\r\nX: y",
    "{key}",
    "http://evil/",
    "@",
    ":",
    ";x",
  ];
  for (const value of hostile) {
    const url = new URL(expand("http://u/a/{key}/b?c={key}", [value]) ?? "");
    t.equal(url.host, "u", value);
    t.equal(url.pathname.split("/").length, 4, value);
    t.equal(decodeURIComponent(url.pathname.split("/")[2] ?? ""), value);
    t.equal(url.searchParams.get("c"), value);
    t.equal(url.hash, "");
  }
  for (const value of [".", "..", "", "\ud800"])
    t.equal(expand("http://u/a/{key}/b", [value]), undefined, JSON.stringify(value));
  t.equal(expand("http://u/a/.{key}", ["."]), undefined, "together with the template");
  t.equal(expand("http://u/a/x{key}?{key}", [".."]), "http://u/a/x..?..");
  for (const template of [
    "http://u/{path.no}",
    "http://u/{body:/no}",
    "http://u/{body:/t}",
    "http://u/{body:/a}",
    "http://u/{other}",
    "http://{key}/",
    "http://{key}",
  ]) {
    t.equal(expand(template), undefined, template);
  }
  t.equal(
    probeTarget("http://u/{body:/a}", { key: [], params: {}, body: { json: new JsonBody(Buffer.alloc(0)) } }),
    undefined,
  );
  t.same([probeNeedsBody("http://u/{key}"), probeNeedsBody("http://u/{body:/a}")], [false, true]);
});
