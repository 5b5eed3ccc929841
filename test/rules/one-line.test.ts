import t from "tap";
import { isOneLine, oneLine } from "../../src/rules/one-line.js";

t.test("control characters of both sets and ends of lines are escaped, and nothing else", async (t) => {
  for (const hostile of ["\x1b[31m", "\x9b31m", "\x85", "\u2028", "\u2029", "\r\n", "\x7f", "\0"]) {
    t.notOk(isOneLine(hostile));
    t.ok(/^root(\\u[0-9a-f]{4})+(\[31m|31m)?fake$/.test(oneLine(`root${hostile}fake`)));
  }
  t.equal(oneLine("\x9b31mroot"), "\\u009b31mroot");
  t.equal(oneLine("Zoë O'Neil <zoe@example.com>"), "Zoë O'Neil <zoe@example.com>");
});
