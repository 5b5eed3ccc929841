import fc from "fast-check";
import t from "tap";
import { connectionNames, headerValue, headerValues } from "../../src/rules/headers.js";
import { type Forwarding, receivedTraceparent, requestHeaders } from "../../src/rules/request-headers.js";
import { type Reply, replyHeaders, responseHeaders } from "../../src/rules/response-headers.js";
import { runs } from "../property-runs.js";

const made = `00-${"a".repeat(32)}-${"b".repeat(16)}-00`;
const valid = `00-${"1".repeat(32)}-${"2".repeat(16)}-01`;

const forwardingOf = (changes: Partial<Forwarding> = {}): Forwarding => ({
  clientAddress: "192.0.2.1",
  proto: "http",
  hostHeader: "api.example.com",
  isTrusted: false,
  upstreamHost: null,
  connection: [],
  withheld: [],
  keepsContentLength: false,
  makeTraceparent: () => made,
  via: "1.1 ig-here",
  maxForwards: undefined,
  ...changes,
});

const added = [
  "X-Forwarded-For",
  "192.0.2.1",
  "X-Forwarded-Proto",
  "http",
  "X-Forwarded-Host",
  "api.example.com",
  "Via",
  "1.1 ig-here",
  "traceparent",
  made,
];

const sent = (received: readonly string[], changes: Partial<Forwarding> = {}) =>
  requestHeaders(received, forwardingOf({ connection: connectionNames(received), ...changes }));

t.test("a request's fields go on in order, with repeats and letter case", async (t) => {
  const received = [
    "HOST",
    "api.example.com",
    "x-B",
    "1",
    "X-a",
    "",
    "X-b",
    "2",
    "Cookie",
    "a=1",
    "cookie",
    "b=2",
    "X-É",
    "é",
  ];
  t.same(sent(received), [...received, ...added]);
});

t.test("what is meant for one connection stays there, listed by Connection or not", async (t) => {
  const hops = [
    ["Connection", "close, X-Mine ,\tx-other"],
    ["connection", "X-Third"],
    ["Keep-Alive", "timeout=5"],
    ["Proxy-Connection", "keep-alive"],
    ["Proxy-Authorization", "Basic x"],
    ["TE", "trailers"],
    ["Trailer", "X"],
    ["Transfer-Encoding", "chunked"],
    ["Upgrade", "h2c"],
    ["HTTP2-Settings", "x"],
    ["Expect", "100-continue"],
    ["Content-Length", "3"],
    ["x-mine", "1"],
    ["X-OTHER", "1"],
    ["X-Third", "1"],
  ].flat();
  t.same(sent(["Host", "a", ...hops, "X-Kept", "1"]), ["Host", "a", "X-Kept", "1", ...added]);
});

t.test("Connection cannot take away what the upstream needs", async (t) => {
  const kept = ["Host", "a", "Content-Type", "x", "Authorization", "b", "Cookie", "c"];
  const received = [
    ...kept,
    "Connection",
    "host, content-type, authorization, cookie, content-length, x-forwarded-for, traceparent",
  ];
  t.same(sent(received), [...kept, ...added]);
  t.equal(headerValue(sent([...received, "Content-Length", "3"], { keepsContentLength: true }), "content-length"), "3");
});

t.test("the length stays where the body is streamed, and withheld fields do not go on", async (t) => {
  const received = ["Content-Length", "3", "Idempotency-Key", "k"];
  t.same(sent(received, { keepsContentLength: true }), [...received, ...added]);
  t.same(sent(received, { withheld: ["idempotency-key"] }), added);
});

t.test("Host becomes the upstream's only where it is not preserved", async (t) => {
  t.same(sent(["hOst", "a"], { upstreamHost: "legacy:3000" }), ["hOst", "legacy:3000", ...added]);
});

t.test("what an untrusted client says about itself is replaced", async (t) => {
  const claims = ["For", "Proto", "Host", "Port", "Prefix", "Server", "Ssl", "Scheme"].flatMap((end) => [
    `X-Forwarded-${end}`,
    "evil",
  ]);
  const others = ["Forwarded", "for=evil", "X-Real-IP", "evil", "X-Original-URL", "/evil", "x-rewrite-url", "/evil"];
  t.same(sent([...claims, ...others, "X-Forwarded-User", "jane"]), ["X-Forwarded-User", "jane", ...added]);
});

t.test("a trusted peer is believed: addresses are appended to, the rest is kept", async (t) => {
  const received = [
    ["X-Forwarded-For", "203.0.113.9"],
    ["x-forwarded-for", "198.51.100.7, 10.0.0.1"],
    ["X-Forwarded-Proto", "https"],
    ["X-Forwarded-Host", "shop.example.com"],
    ["X-Forwarded-Port", "443"],
    ["X-Real-IP", "203.0.113.9"],
  ].flat();
  t.same(sent(received, { isTrusted: true, clientAddress: "::ffff:10.0.0.2" }), [
    ...received.slice(4),
    "X-Forwarded-For",
    "203.0.113.9, 198.51.100.7, 10.0.0.1, 10.0.0.2",
    "Via",
    "1.1 ig-here",
    "traceparent",
    made,
  ]);
  t.same(
    sent(["X-Forwarded-For", ""], { isTrusted: true, proto: "https" }),
    added.with(3, "https"),
    "silent, it is spoken for",
  );
});

t.test("a valid traceparent goes on with its tracestate, any other is replaced without", async (t) => {
  const received = ["Tracestate", "a=1", "TraceParent", valid];
  t.same(sent(received), [...received, ...added.slice(0, -2)]);
  const other = `cc-${"1".repeat(32)}-${"2".repeat(16)}-01-more`;
  t.equal(receivedTraceparent(["traceparent", other]), other, "of a later version");
  const invalid = [
    [],
    [""],
    [valid, valid],
    [valid.toUpperCase().replace("1", "A")],
    [`${valid}-more`],
    [valid.replace(/^00/, "ff")],
    [valid.replaceAll("1", "0")],
    [valid.replaceAll("2", "0")],
    [valid.slice(0, -1)],
    [`x${valid}`],
  ];
  for (const values of invalid) {
    const fields = ["tracestate", "a=1", ...values.flatMap((value) => ["traceparent", value])];
    t.equal(receivedTraceparent(fields), undefined, String(values));
    t.same(sent(fields), added, String(values));
  }
});

const hopNames = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
const name = fc.oneof(
  fc.constantFrom("X-A", "x-a", "X-B", "Content-Type", "Accept", "SET-cookie", "cookie", "ETag"),
  fc.constantFrom(...hopNames, "Keep-Alive", "TE", "Transfer-Encoding", "UPGRADE"),
);
const listing = fc
  .array(fc.constantFrom("x-b", "close", "X-C", "keep-alive", ""), { maxLength: 3 })
  .map((names) => names.join(" , "));
const field = fc.oneof(
  fc.tuple(
    name.filter((one) => one !== "connection"),
    fc.string({ maxLength: 3 }),
  ),
  fc.tuple(fc.constantFrom("Connection", "connection"), listing),
);
const pairs = fc.array(field, { maxLength: 12 }).map((fields) => fields.flat());

t.test("property: in both directions all end-to-end fields survive as they were, and no other does", async () => {
  fc.assert(
    fc.property(pairs, (received) => {
      const listed = connectionNames(received);
      const expected = received.filter((_, i) => {
        const lower = received[i - (i % 2)]!.toLowerCase();
        return !hopNames.includes(lower) && (!listed.includes(lower) || lower === "content-type" || lower === "cookie");
      });
      const forwarded = sent(received);
      const answered = responseHeaders(received);
      const toClient = expected.filter(
        (_, i) => !(expected[i - (i % 2)]!.toLowerCase() === "cookie" && listed.includes("cookie")),
      );
      return (
        JSON.stringify(forwarded) === JSON.stringify([...expected, ...added]) &&
        JSON.stringify(answered) === JSON.stringify(toClient)
      );
    }),
    runs(400, 4000),
  );
});

t.test("an answer's fields go on in order, less its connection's and what is omitted", async (t) => {
  const received = [
    ["Set-Cookie", "a=1"],
    ["Connection", "close, X-Hop"],
    ["set-cookie", "b=2"],
    ["Keep-Alive", "timeout=3"],
    ["Transfer-Encoding", "chunked"],
    ["X-Hop", "1"],
    ["Proxy-Authenticate", "Basic"],
    ["Upgrade", "h2"],
    ["Content-Length", "3"],
    ["Trailer", "X-Sum"],
    ["Date", "now"],
  ].flat();
  const kept = ["Set-Cookie", "a=1", "set-cookie", "b=2", "Content-Length", "3", "Trailer", "X-Sum", "Date", "now"];
  t.same(responseHeaders(received), kept);
  t.same(responseHeaders(received, new Set(["set-cookie", "date"])), kept.slice(4, 8));
});

const reply = (stored: readonly string[], changes: Partial<Reply> = {}) =>
  replyHeaders(stored, {
    method: "POST",
    status: 200,
    bodyBytes: 3,
    hasTrailers: false,
    replayHeader: "Idempotent-Replayed",
    isReplay: false,
    residentSeconds: undefined,
    recordId: "0123456789abcdef",
    hidesCookies: false,
    expires: undefined,
    ...changes,
  }).slice(0, -2);

t.test("every reply says which record it belongs to, whatever the upstream says", async (t) => {
  const shape: Reply = {
    method: "POST",
    status: 200,
    bodyBytes: undefined,
    hasTrailers: false,
    replayHeader: "Idempotent-Replayed",
    isReplay: false,
    residentSeconds: undefined,
    recordId: "0123456789abcdef",
    hidesCookies: true,
    expires: undefined,
  };
  const stored = ["idempotency-record", "x", "Set-Cookie", "a=1", "set-cookie", "b=2", "Idempotency-Record", "y"];
  const own = ["Idempotency-Record", "0123456789abcdef"];
  t.same(replyHeaders(stored, shape), ["Set-Cookie", "a=1", "set-cookie", "b=2", ...own]);
  const replay = { ...shape, isReplay: true };
  t.same(replyHeaders(stored, replay), ["Idempotent-Replayed", "true", ...own], "no cookie for whoever asks again");
  t.match(replyHeaders(stored, { ...replay, hidesCookies: false }), ["Set-Cookie", "a=1", "set-cookie", "b=2"]);
});

t.test("a whole body gets a length when it has none, or a wrong one", async (t) => {
  t.same(reply(["A", "1"]), ["A", "1", "Content-Length", "3"]);
  t.same(reply(["content-length", "3", "A", "1"]), ["content-length", "3", "A", "1"]);
  t.same(reply(["Content-Length", "4"]), ["Content-Length", "3"]);
  t.same(reply(["Content-Length", "3", "Content-Length", "3"]), ["Content-Length", "3"]);
  t.same(reply(["Content-Length", "900"], { bodyBytes: undefined }), ["Content-Length", "900"], "while it is streamed");
  t.same(reply([], { bodyBytes: undefined }), []);
});

t.test("an answer without a body keeps the length it told and gets none", async (t) => {
  for (const changes of [{ method: "HEAD" }, { status: 304 }]) {
    t.same(reply(["Content-Length", "900"], { ...changes, bodyBytes: 0 }), ["Content-Length", "900"]);
    t.same(reply([], { ...changes, bodyBytes: 0 }), []);
  }
  t.same(reply(["Content-Length", "0", "A", "1"], { status: 204, bodyBytes: 0 }), ["A", "1"], "204 has none to tell");
});

t.test("trailers go without a length and with their announcement, and no announcement without them", async (t) => {
  const stored = ["Content-Length", "3", "Trailer", "X-Sum"];
  t.same(reply(stored, { hasTrailers: true }), ["Trailer", "X-Sum"]);
  t.same(reply(stored), ["Content-Length", "3"]);
});

t.test("only the gateway says what is a replay", async (t) => {
  const stored = ["idempotent-REPLAYED", "true", "A", "1", "Content-Length", "3"];
  t.same(reply(stored), stored.slice(2));
  t.same(reply(stored, { isReplay: true }), [...stored.slice(2), "Idempotent-Replayed", "true"]);
  t.same(reply(["X-Again", "no"], { isReplay: true, replayHeader: "X-Again", bodyBytes: undefined }), [
    "X-Again",
    "true",
  ]);
});

t.test("Age adds the time in the store to the age an answer came with", async (t) => {
  const ageOf = (stored: readonly string[], residentSeconds?: number) =>
    headerValues(reply(stored, { isReplay: true, residentSeconds }), "age");
  t.same(ageOf([], 0), ["0"]);
  t.same(ageOf([], 12.9), ["12"]);
  t.same(ageOf(["age", "100"], 12), ["112"]);
  t.same(ageOf(["Age", "100", "AGE", "7"], 1), ["101"], "the first of several");
  for (const age of ["", "-1", "1.5", "x", "1 2"]) t.same(ageOf(["Age", age], 1), ["1"], age);
  t.same(ageOf(["Age", "5"], -1), ["5"]);
  t.same(ageOf(["Age", "5"]), ["5"], "as it came where no age is told");
});

t.test("looking up is blind to letter case, and to nothing else", async (t) => {
  const fields = ["X-A", "1", "x-a", "2", "X_A", "3", "X-AA", "4"];
  t.equal(headerValue(fields, "x-a"), "1");
  t.same(headerValues(fields, "x-a"), ["1", "2"]);
  t.equal(headerValue(fields, "x-b"), undefined);
  t.equal(headerValue(["A", "x-a"], "x-a"), undefined, "a value is no name");
  t.same(connectionNames(["Connection", "Close,  x-A\t,,", "connection", "B"]), ["close", "x-a", "b"]);
});
