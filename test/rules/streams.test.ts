import t from "tap";
import { streamPattern } from "../../src/config/stream-pattern.js";
import { isStream } from "../../src/rules/streams.js";

const usual = streamPattern(["text/event-stream", "application/x-ndjson", "application/grpc-web"]);
const typed = (type: string) => ["content-Type", type];

t.test("a stream is known by its media type: letter case, parameters and suffixes do not matter", async (t) => {
  for (const type of [
    "text/event-stream",
    "Text/Event-Stream; charset=utf-8",
    " text/event-stream\t;x",
    "application/x-ndjson;charset=utf-8",
    "application/grpc-web+proto",
    "application/grpc-web+json ; v=1",
  ]) {
    t.equal(isStream(typed(type), usual), true, type);
  }
  for (const pairs of [
    [],
    typed("text/event-streams"),
    typed("text/event-stream-like"),
    typed("text/plain; text/event-stream"),
    typed("x-text/event-stream"),
    typed("application/xxndjson"),
    typed("application/grpc-web-text"),
    typed("application/grpc-web+"),
    ["Accept", "text/event-stream"],
  ]) {
    t.equal(isStream(pairs, usual), false, pairs.join());
  }
});

t.test("a list may name a whole type, be empty, or hold what regular expressions are made of", async (t) => {
  t.ok(isStream(typed("text/plain"), streamPattern(["text/*"])));
  t.notOk(isStream(typed("text/"), streamPattern(["text/*"])));
  t.notOk(isStream(typed("application/text"), streamPattern(["text/*"])));
  t.notOk(isStream(typed("text/event-stream"), streamPattern([])));
  t.ok(isStream(typed("a.b/c*d+e"), streamPattern(["a.b/c*d+e"])));
  t.notOk(isStream(typed("axb/cd+e"), streamPattern(["a.b/c*d+e"])));
});

t.test("an upstream that forbids to collect its response is obeyed, whatever the type", async (t) => {
  const none = streamPattern([]);
  for (const value of ["no", "No", " NO\t"]) t.ok(isStream(["X-Accel-Buffering", value], none), value);
  for (const value of ["yes", "", "no, no", "none"]) t.notOk(isStream(["X-Accel-Buffering", value], none), value);
});
