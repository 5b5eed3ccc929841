import fc from "fast-check";
import t from "tap";
import { Backlog } from "../../src/proxy/backlog.js";

t.test(
  "however the bytes come, each message is given up to and with its empty line, and nothing is lost",
  async (t) => {
    const piece = fc.constantFrom(
      "\r",
      "\n",
      "\r\n",
      "\r\n\r\n",
      "a",
      "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
      "x".repeat(300),
    );
    fc.assert(
      fc.property(fc.array(fc.array(piece, { maxLength: 5 }), { maxLength: 20 }), (parts) => {
        const backlog = new Backlog(4);
        let sent = "";
        let seen = "";
        for (const part of parts) {
          sent += part.join("");
          backlog.add(Buffer.from(part.join("")));
          while (backlog.bytes > 0) {
            const taken = backlog.takeToEmptyLine().toString();
            // Between two ends: the text since the last one has at most one empty line, at its very end.
            const since = (seen + taken).slice(lastEnd(seen));
            const at = since.indexOf("\r\n\r\n");
            if (at >= 0 && at + 4 !== since.length) return false;
            seen += taken;
          }
        }
        return seen === sent;
      }),
      { numRuns: 500 },
    );
    t.pass();
  },
);

/** Where the message begins that is being read: behind the last whole empty line, counted without overlap. */
function lastEnd(text: string): number {
  let from = 0;
  for (let at = text.indexOf("\r\n\r\n"); at >= 0; at = text.indexOf("\r\n\r\n", from)) from = at + 4;
  return from;
}

t.test("it is full when as many heads wait as may, or too many bytes", async (t) => {
  const backlog = new Backlog(2);
  backlog.add(Buffer.from("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r"));
  t.notOk(backlog.isFull);
  backlog.add(Buffer.from("\n"));
  t.ok(backlog.isFull);
  t.equal(backlog.takeToEmptyLine().toString(), "GET / HTTP/1.1\r\n\r\n");
  t.notOk(backlog.isFull);
  backlog.add(Buffer.alloc(70_000));
  t.ok(backlog.isFull);
  backlog.clear();
  t.equal(backlog.bytes, 0);
  for (let n = 0; n < 1000; n++) backlog.add(Buffer.from("x"));
  t.equal(backlog.take(999).length, 999);
  t.equal(backlog.take(999).toString(), "x");
});
