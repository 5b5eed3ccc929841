import { createServer, type IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import fc from "fast-check";
import t from "tap";
import { type PlainRequest, readPlainRequest } from "../../../src/proxy/plain/plain-request.js";
import { runs } from "../../property-runs.js";
import { mutated, spoiled } from "./octet-arbitraries.js";

// Of whatever the plain reader accepts node's own parser, with the options of the traffic port, makes the same.

const server = createServer({ maxHeaderSize: 64 * 1024, requireHostHeader: false, insecureHTTPParser: false });
server.maxHeadersCount = 0;

interface Read {
  readonly method: string | undefined;
  readonly target: string | undefined;
  readonly rawHeaders: string[];
  readonly body: string;
  /** What node would make of the connection after the answer. */
  readonly isKept: boolean;
}

class Wire extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, callback: () => void): void {
    callback();
  }
}

/** What node reads of a connection that brings these octets, request by request; an error is its last word. */
function readByNode(text: string): Promise<(Read | string)[]> {
  const read: (Read | string)[] = [];
  const wire = new Wire();
  return new Promise((resolve) => {
    const end = () => {
      wire.destroy();
      resolve(read);
    };
    const take = (request: IncomingMessage, isKept: boolean) => {
      const { method, url: target, rawHeaders } = request;
      const one = { method, target, rawHeaders, body: "", isKept };
      read.push(one);
      request.setEncoding("latin1").on("data", (part: string) => {
        one.body += part;
      });
      if (target === "/last") request.on("end", end);
    };
    taking.set(wire, take);
    refusing.set(wire, (error) => {
      read.push(error.message);
      end();
    });
    server.emit("connection", wire);
    wire.push(Buffer.from(text, "latin1"));
  });
}

const taking = new WeakMap<object, (request: IncomingMessage, isKept: boolean) => void>();
const refusing = new WeakMap<object, (error: Error) => void>();
server.on("request", (request, response) => {
  taking.get(request.socket)?.(request, response.shouldKeepAlive);
  request.on("end", () => response.end());
});
server.on("clientError", (error, socket) => refusing.get(socket)?.(error));
for (const odd of ["checkContinue", "checkExpectation", "upgrade"]) {
  server.on(odd, (request: IncomingMessage) => refusing.get(request.socket)?.(new Error(odd)));
}

const last = "POST /last HTTP/1.1\r\n\r\n";

async function sameByNode(text: string, request: PlainRequest): Promise<void> {
  const { method, target, rawHeaders, bodyAt, bodyBytes } = request;
  const body = text.slice(bodyAt, bodyAt + bodyBytes).padEnd(bodyBytes, ".");
  const [first, next] = await readByNode(text.slice(0, bodyAt) + body + last);
  const expected: Read = { method, target, rawHeaders, body, isKept: true };
  if (JSON.stringify(first) !== JSON.stringify(expected) || typeof next === "string" || next?.target !== "/last") {
    throw new Error(`${JSON.stringify(expected)} is to node ${JSON.stringify([first, next])}`);
  }
}

const often = (plain: string, ...odd: string[]) =>
  fc.oneof({ weight: 40, arbitrary: fc.constant(plain) }, { weight: 1, arbitrary: fc.constantFrom(...odd) });
const names = ["Host", "Idempotency-Key", "X-A", "!#$%&'*+-.^_`|~9z", "Content-Type", "Date", "Keep-Alive", "TE"];
const special = [
  "Content-Length",
  "Transfer-Encoding",
  "Connection",
  "Expect",
  "Upgrade",
  "Trailer",
  "Proxy-Connection",
];
const values = [
  "a",
  "",
  "a b",
  " a ",
  "a:b, c",
  '"q\\""',
  "~",
  "keep-alive",
  "Keep-Alive",
  "close",
  "Upgrade",
  "x".repeat(300),
];
const lengths = [
  "0",
  "5",
  "007",
  "0",
  "5",
  "12",
  "12",
  "+5",
  "-1",
  "0x5",
  "5,5",
  "5 5",
  "1e1",
  "",
  "99999999999999999999",
  "20",
];
const field = fc
  .tuple(
    fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...names) }, fc.constantFrom(...special), spoiled("X-Odd")),
    often(": ", ":", " : ", "\t: ", ":\t", ":  ", "", ";"),
    fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(...values) },
      { weight: 1, arbitrary: spoiled("value") },
      { weight: 1, arbitrary: fc.constantFrom("chunked", "identity", "100-continue", "h2c") },
    ),
    often("\r\n", "\n", "\r", " \r\n", "\t\r\n", "\r\n ", "\r\r\n", "\x00\r\n"),
  )
  .map((parts) => parts.join(""));
const length = fc
  .tuple(
    often("Content-Length", "content-length", "CONTENT-LENGTH"),
    often(": ", ":", ":   "),
    fc.constantFrom(...lengths),
  )
  .map(([name, colon, value]) => `${name}${colon}${value}\r\n`);
const message = fc
  .record({
    method: often("POST", "PUT", "PATCH", "DELETE", "post", "GET", "POS", "POSTS", " POST", "\r\nPOST"),
    target: fc.oneof(
      {
        weight: 20,
        arbitrary: fc.constantFrom("/", "/a/b?c=d&e=%20", "/a#b", "/a?b#c?d#e", "//x", '/"<>\\^`{|}~', "/*"),
      },
      { weight: 1, arbitrary: fc.constantFrom("*", "http://a/b", "a", "", "/a b", "/ ", "/\xe9", "/\x7f", "/\t") },
      { weight: 2, arbitrary: spoiled("/path") },
    ),
    version: often("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/11", "HTTP/1.10", ""),
    lines: fc.array(field, { maxLength: 5 }),
    length: fc.oneof(
      { weight: 9, arbitrary: length },
      { weight: 9, arbitrary: fc.constant("") },
      fc.tuple(length, length).map((two) => two.join("")),
    ),
    body: fc.constantFrom("", "12345", "1\r\na\r\n0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\r\n\r\n", "\x00\xff"),
  })
  .map((of) => `${of.method} ${of.target} ${of.version}\r\n${of.lines.join("")}${of.length}\r\n${of.body}`);

t.test("what is accepted is accepted by node, with the same head, body and end", async (t) => {
  const tries = runs(2500, 25_000);
  let accepted = 0;
  const property = fc.asyncProperty(mutated(message), async (text) => {
    const request = readPlainRequest(text);
    if (request === undefined || request.bodyBytes > 1e6) return;
    accepted++;
    await sameByNode(text, request);
  });
  await fc.assert(property, tries);
  t.ok(accepted > tries.numRuns * 0.08, `${accepted} were accepted`);
});

t.test("every octet in every place of a head is read as node reads it, or not at all", async (t) => {
  const text = "PUT /a?b HTTP/1.1\r\nHost: a\r\nX-B:c d\r\nContent-Length: 3\r\n\r\nabc";
  const octets = ["\0", "\t", "\n", "\r", " ", "!", '"', "#", ",", "0", ":", "A", "_", "\x7f", "\x80", "\xff"];
  let accepted = 0;
  for (let at = 0; at < text.length; at++) {
    for (const octet of octets) {
      for (const spoilt of [
        text.slice(0, at) + octet + text.slice(at + 1),
        text.slice(0, at) + octet + text.slice(at),
      ]) {
        const request = readPlainRequest(spoilt);
        if (request === undefined || request.bodyBytes > 1e6) continue;
        accepted++;
        await sameByNode(spoilt, request);
      }
    }
  }
  t.ok(accepted > 100, `${accepted} were accepted`);
});

t.test("the plain form is read: method, target, fields as they were written, and where the body lies", async (t) => {
  const head =
    "PATCH /a?b HTTP/1.1\r\nHost: a\r\nx-B:  c d \r\nX-b:\r\nConnection: Keep-Alive\r\ncontent-length: 3\r\n\r\n";
  const rawHeaders = ["Host", "a", "x-B", "c d", "X-b", "", "Connection", "Keep-Alive", "content-length", "3"];
  const expected = { method: "PATCH", target: "/a?b", rawHeaders, bodyAt: head.length, bodyBytes: 3 };
  t.same(readPlainRequest(`${head}abcdef`), expected);
  t.same(readPlainRequest(head), expected, "the body may still be to come");
  for (let end = 0; end < head.length; end++) t.equal(readPlainRequest(head.slice(0, end)), undefined, `${end} octets`);
  const bare = "DELETE / HTTP/1.1\r\n\r\n";
  t.same(readPlainRequest(bare), { method: "DELETE", target: "/", rawHeaders: [], bodyAt: bare.length, bodyBytes: 0 });
});

t.test("everything else is left to the full parser", async (t) => {
  const head = (...lines: string[]) => ["POST / HTTP/1.1", ...lines, "", ""].join("\r\n");
  const odd: Record<string, string> = {
    "a safe method": "GET / HTTP/1.1\r\n\r\n",
    "a method in lower case": "post / HTTP/1.1\r\n\r\n",
    "a method that begins like one": "POSTS / HTTP/1.1\r\n\r\n",
    "an empty line before it": "\r\nPOST / HTTP/1.1\r\n\r\n",
    "HTTP/1.0": "POST / HTTP/1.0\r\n\r\n",
    "a version in lower case": "POST / http/1.1\r\n\r\n",
    "no version": "POST /\r\n\r\n",
    "a target in absolute form": "POST http://a/ HTTP/1.1\r\n\r\n",
    "a target of a star": "POST * HTTP/1.1\r\n\r\n",
    "two spaces before the target": "POST  / HTTP/1.1\r\n\r\n",
    "two spaces after the target": "POST /  HTTP/1.1\r\n\r\n",
    "a high octet in the target": "POST /\xe9 HTTP/1.1\r\n\r\n",
    "a tab in the target": "POST /\t HTTP/1.1\r\n\r\n",
    "lines that end with LF": "POST / HTTP/1.1\nA: b\n\n",
    "one line that ends with LF": "POST / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
    "a bare CR": head("A: b\rc"),
    "a NUL": head("A: b\0"),
    "a tab in a value": head("A: b\tc"),
    "a high octet in a value": head("A: \xe9"),
    "a folded line": head("A: b", " c"),
    "a line without a colon": head("A"),
    "a line without a name": head(": a"),
    "a space before the colon": head("A : b"),
    "a space in a name": head("A b: c"),
    "a high octet in a name": head("\xe9: b"),
    "two lengths": head("Content-Length: 1", "Content-Length: 1"),
    "an empty length": head("Content-Length:"),
    "a list of lengths": head("Content-Length: 1, 1"),
    "a length with a sign": head("Content-Length: +1"),
    "a length in hexadecimal": head("Content-Length: 0x1"),
    "a length with a fraction": head("Content-Length: 1.0"),
    "a length of sixteen digits": head("Content-Length: 1000000000000000"),
    "a body in chunks": head("Transfer-Encoding: chunked"),
    "an identity coding": head("transfer-encoding: identity", "Content-Length: 0"),
    "what wants to be told to continue": head("Expect: 100-continue", "Content-Length: 1"),
    "any other expectation": head("expect: more"),
    "an upgrade": head("Upgrade: h2c"),
    "announced trailers": head("Trailer: A"),
    "a connection that closes": head("Connection: close"),
    "a connection that lists fields": head("Connection: keep-alive, A"),
    "a connection of the old kind": head("Proxy-Connection: close"),
    "two hundred and one fields": head(...Array(201).fill("A: b")),
    "a large section": head(...Array(50).fill(`A: ${"b".repeat(1000)}`)),
  };
  for (const [name, text] of Object.entries(odd)) t.equal(readPlainRequest(text), undefined, name);
  t.equal(readPlainRequest(head(...Array(200).fill("A: b")))?.rawHeaders.length, 400);
});
