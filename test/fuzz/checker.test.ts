import t from "tap";
import { Random } from "../chaos/random.js";
import { checkFuzz } from "./checker.js";
import { ambiguityOf, kindsOfTwist, message } from "./corpus.js";
import { type Dispatched, type FuzzHistory, markOf, type SessionSeen } from "./history.js";
import { fieldOf, readAnswers, readRequests } from "./strict-reader.js";

// A checker that finds nothing proves nothing: each kind of wrong history is fabricated here, and must be found.

const request = (name: string, copy: string, body = "b", ...fields: string[]): string =>
  [`POST /pay/${name} HTTP/1.1`, "Host: h", `Idempotency-Key: k-${name}`, `X-Copy: ${copy}`, ...fields].join("\r\n") +
  `\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

const reply = (body: string, ...fields: string[]): string =>
  `${["HTTP/1.1 201 Created", ...fields, `Content-Length: ${body.length}`].join("\r\n")}\r\n\r\n${body}`;

const connection = (id: number, sent: string, received: string): SessionSeen => ({
  id,
  kinds: ["plain"],
  sent,
  received,
  mayRun: ambiguityOf,
});

const dispatch = (serial: number, name: string, copy: string, more: Partial<Dispatched> = {}): Dispatched => ({
  serial,
  method: "POST",
  target: `/pay/${name}`,
  fields: [
    ["Host", "h"],
    ["Idempotency-Key", `k-${name}`],
    ["X-Copy", copy],
  ],
  body: "b",
  isWhole: true,
  script: "plain",
  answerBody: markOf(serial),
  mayRelease: false,
  isCrossed: false,
  ...more,
});

const two = connection(0, request("a", "c0-0") + request("b", "c0-1"), reply(markOf(1)) + reply(markOf(2)));
const both = [dispatch(1, "a", "c0-0"), dispatch(2, "b", "c0-1")];
const history = (sessions: SessionSeen[], dispatches: Dispatched[], unreadable: string[] = []): FuzzHistory => ({
  sessions,
  dispatches,
  unreadable,
});
const found = (sessions: SessionSeen[], dispatches: Dispatched[], unreadable?: string[]) =>
  checkFuzz(history(sessions, dispatches, unreadable)).map(({ what }) => what);

t.test("nothing is found in a history that is right", async (t) => {
  t.same(found([two], both), []);
  const retried = connection(0, request("a", "c0-0") + request("a", "c0-1"), reply(markOf(1)) + reply(markOf(1)));
  t.same(found([retried], [dispatch(1, "a", "c0-0")]), [], "a replay has the answer of the first copy");
  const alike = connection(0, request("a", "x", "b") + request("a", "x", "other"), reply(markOf(1)));
  t.same(found([alike], [dispatch(1, "a", "x")]), [], "a changed mark of the copy makes two requests alike");
});

t.test("each wrong history is found", async (t) => {
  const is = (what: string, ...args: Parameters<typeof found>) => t.same([...new Set(found(...args))], [what], what);
  is("nobody sent this request", [two], [...both, dispatch(3, "hidden", "hidden")]);
  is(
    "the body is not the one that was sent",
    [two],
    [dispatch(1, "a", "c0-0", { body: "x" }), dispatch(2, "b", "c0-1")],
  );
  const cut = connection(0, request("a", "c0-0", "body").slice(0, -2), "");
  is("a body was completed that was not sent whole", [cut], [dispatch(1, "a", "c0-0", { body: "bo" })]);
  is(
    "a protected request was sent before its body was there",
    [cut],
    [dispatch(1, "a", "c0-0", { body: "bo", isWhole: false })],
  );
  is("dispatched twice", [two], [...both, dispatch(3, "a", "c0-0")]);
  const again = connection(1, request("a", "c1-0"), reply(markOf(3)));
  is("dispatched twice", [two, again], [...both, dispatch(3, "a", "c1-0")]);
  t.same(
    found(
      [two, again],
      [dispatch(1, "a", "c0-0", { mayRelease: true }), dispatch(2, "b", "c0-1"), dispatch(3, "a", "c1-0")],
    ),
    [],
    "after a release a key runs again",
  );
  const swapped = connection(0, two.sent, reply(markOf(2)) + reply(markOf(1)));
  is("an answer reached another request", [swapped], both);
  const foreign = connection(0, two.sent, reply(markOf(1)) + reply(`${markOf(2)}${markOf(1)}`));
  is(
    "an answer reached another request",
    [foreign],
    [both[0] as Dispatched, dispatch(2, "b", "c0-1", { answerBody: undefined })],
  );
  is("an answer was changed", [connection(0, two.sent, reply(`${markOf(1)}+`) + reply(markOf(2)))], both);
  is("more answers than requests", [connection(0, two.sent, two.received + reply("") + reply(""))], both);
  is(
    "the client got octets that are no HTTP/1.1",
    [connection(0, two.sent, `${two.received}HTTP/1.1 2\r\n\r\n`)],
    both,
  );
  const closing = connection(0, two.sent, reply(markOf(1), "Connection: close"));
  is("dispatched behind the end of its connection", [closing], both);
  const code = '{"code":"request-ambiguous"}';
  const refused = `HTTP/1.1 400 Bad Request\r\nContent-Length: ${code.length}\r\n\r\n${code}`;
  is("dispatched behind the end of its connection", [connection(0, two.sent, refused)], [dispatch(2, "b", "c0-1")]);
  is("the gateway sent octets that are no HTTP/1.1", [two], both, ["head: \0"]);
  const smuggled = connection(0, request("a", "c0-0", "b", "Content-Length: 0") + request("b", "c0-1"), "");
  is("nobody sent this request", [smuggled], both);
});

t.test("the strict reader stops where two readings are possible", async (t) => {
  const stops = (kind: string) => {
    const text = message(kind, "m", "c0-0", new Random(7)) + message("plain", "n", "c0-1", new Random(8));
    const copies = readRequests(text, ambiguityOf).messages.map((read) => fieldOf(read, "x-copy"));
    return !copies.includes("hidden") && !copies.includes("c0-1");
  };
  const ambiguous = kindsOfTwist.filter((kind) =>
    /two |length and|and length|coding (?:twice|with)|other coding|NUL|0x|sign|colon/.test(kind),
  );
  t.same(
    ambiguous.filter((kind) => !stops(kind) && kind !== "two spaces"),
    [],
  );
  t.ok(ambiguous.length > 12);
  t.notOk(stops("plain"), "and not where one is");
});

t.test("the strict reader reads answers by the methods they are for", async (t) => {
  const text = `HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n${reply("abc")}`;
  const { messages, rest } = readAnswers(text, ["HEAD", "POST"]);
  t.same(
    [messages.map(({ status, body }) => [status, body]), rest],
    [
      [
        [200, ""],
        [201, "abc"],
      ],
      "clean",
    ],
  );
  t.equal(readAnswers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ["GET"]).rest, "broken");
});
