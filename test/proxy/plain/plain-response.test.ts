import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import fc from "fast-check";
import t from "tap";
import { Client, type Dispatcher } from "undici";
import { AnswerHeads } from "../../../src/proxy/answer-heads.js";
import { type PlainHead, readPlainChunks, readPlainHead } from "../../../src/proxy/plain/plain-response.js";
import { clientOptions, readThrough } from "../../../src/proxy/undici-connection.js";
import { runs } from "../../property-runs.js";
import { mutated, spoiled } from "./octet-arbitraries.js";

// Of whatever the plain reader accepts undici makes the same, with what stands before it: it would have read the answer
// otherwise.

interface Read {
  readonly status: number;
  readonly reason: string;
  readonly rawHeaders: string[];
  readonly body: string;
}

/** A connection that answers what is written to it with these octets, and stays open. */
class Wire extends Duplex {
  constructor(private readonly octets: string) {
    super();
    const heads = new AnswerHeads();
    heads.expect();
    readThrough(this, heads);
  }

  override _read(): void {}

  override _write(_chunk: Buffer, _encoding: string, callback: () => void): void {
    this.push(Buffer.from(this.octets, "latin1"));
    callback();
  }
}

const latin1 = (part: Buffer) => part.toString("latin1");

/** Undici leaves the white space behind a value, which is no part of it (RFC 9110 §5.5). */
const fieldOf = (part: Buffer) => latin1(part).replace(/ +$/, "");

function readByUndici(text: string): Promise<Read | string> {
  const client = new Client("http://a", {
    ...clientOptions,
    connect: (_options, callback) => process.nextTick(callback, null, new Wire(text) as unknown as Socket),
  });
  return new Promise((resolve) => {
    let head: Omit<Read, "body"> | undefined;
    let body = "";
    const end = (read: Read | string) => {
      resolve(read);
      void client.destroy();
    };
    const handler: Dispatcher.DispatchHandler = {
      onConnect() {},
      onHeaders(status: number, rawHeaders: Buffer[], _resume: () => void, reason: string) {
        if (status < 200) return true;
        head = { status, reason, rawHeaders: rawHeaders.map(fieldOf) };
        return true;
      },
      onData(part: Buffer) {
        body += latin1(part);
        return true;
      },
      onComplete: () => end({ ...(head as Omit<Read, "body">), body }),
      onError: (error: Error) => end(error.message),
    };
    client.dispatch({ path: "/", method: "POST", reset: true }, handler);
  });
}

/** The whole answer and its end, where one stands at the beginning of the text. */
function readPlainly(text: string): (Read & { readonly end: number }) | undefined {
  const head = readPlainHead(text);
  if (head === "odd" || head === "partial") return undefined;
  const { status, reason, rawHeaders, bodyAt, bodyBytes } = head;
  if (bodyBytes !== "chunked") {
    const end = bodyAt + bodyBytes;
    return end > text.length ? undefined : { status, reason, rawHeaders, body: text.slice(bodyAt, end), end };
  }
  const chunks = readPlainChunks(text, bodyAt);
  if (chunks === "odd" || chunks === "partial") return undefined;
  const body = chunks.parts.map(([from, to]) => text.slice(from, to)).join("");
  return { status, reason, rawHeaders, body, end: chunks.end };
}

async function sameByUndici(text: string, { end, ...expected }: Read & { end: number }): Promise<void> {
  const read = await readByUndici(text.slice(0, end));
  // RFC 9110 §8.6: undici these may tell the length of a body that they do not have; undici calls that a mismatch.
  const hasNone = (expected.status === 204 || expected.status === 304) && /length does not match/.test(String(read));
  if (hasNone || JSON.stringify(read) === JSON.stringify(expected)) return;
  throw new Error(`${JSON.stringify(expected)} is to undici ${JSON.stringify(read)}`);
}

const often = (plain: string, ...odd: string[]) =>
  fc.oneof({ weight: 40, arbitrary: fc.constant(plain) }, { weight: 1, arbitrary: fc.constantFrom(...odd) });
const field = fc
  .tuple(
    fc.oneof(
      {
        weight: 8,
        arbitrary: fc.constantFrom("Date", "X-A", "set-cookie", "!#$%&'*+-.^_`|~9z", "Keep-Alive", "Connection"),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom("Content-Length", "Transfer-Encoding", "Upgrade", "Trailer", "Content-Type"),
      },
      { weight: 1, arbitrary: spoiled("X-Odd") },
    ),
    often(": ", ":", " : ", "\t: ", ":\t", ":  ", "", ";"),
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.constantFrom("a", "", "a b", "a:b, c", '"q"', "close", "keep-alive", "timeout=5, max=9"),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom("chunked", "Chunked", "identity", "gzip, chunked", "text/event-stream", "3", "x"),
      },
      { weight: 1, arbitrary: spoiled("value") },
    ),
    often("\r\n", "\n", "\r", "\t\r\n", "\r\n ", "\r\r\n", "\x00\r\n"),
  )
  .map((parts) => parts.join(""));
const chunk = fc.constantFrom(
  "3\r\nabc\r\n",
  "0a\r\n0123456789\r\n",
  "00000001\r\n\n\r\n",
  "A\r\n0123456789\r\n",
  "2\r\n\r\n\r\n",
);
const chunks = fc
  .tuple(
    fc.array(chunk, { maxLength: 3 }),
    often("0", "00", "-0", "0x0", "0 ", "0;a=b", ""),
    often("\r\n\r\n", "\r\nA: b\r\n\r\n", "\n\n"),
  )
  .map(([parts, zero, end]) => `Transfer-Encoding: chunked\r\n\r\n${parts.join("")}${zero}${end}`);
const length = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom("0", "3", "003", "5") },
  { weight: 1, arbitrary: fc.constantFrom("+3", "3,3", "3 , 3", "3,5", "0x3", "", "99999999999999999999") },
  {
    weight: 1,
    arbitrary: fc.constantFrom("3\r\nContent-Length: 3", "3\r\nX: a\r\ncontent-length:3", "3\r\nContent-Length: 5"),
  },
);
const sized = fc
  .tuple(length, fc.constantFrom("abc", "abcde", ""))
  .map(([n, body]) => `Content-Length: ${n}\r\n\r\n${body}`);
const message = fc
  .record({
    interim: often(
      "",
      "HTTP/1.1 100 Continue\r\n\r\n",
      "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
      "HTTP/1.1 100 \r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
      "HTTP/1.1 103 Odd\r\nContent-Length: 3\r\n\r\n",
    ),
    version: often("HTTP/1.1 ", "HTTP/1.0 ", "HTTP/1.1", "HTTP/1.1  ", "http/1.1 ", "HTTP/2.0 "),
    status: fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom("200", "201", "204", "205", "304", "404", "599") },
      { weight: 1, arbitrary: fc.constantFrom("100", "101", "103", "600", "099", "20", "2000") },
    ),
    reason: fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom("", " ", " OK", " Not  Found ", "  OK") },
      { weight: 1, arbitrary: fc.constantFrom("OK", "\tOK", " \xe9") },
      { weight: 2, arbitrary: spoiled(" Made") },
    ),
    lines: fc.array(field, { maxLength: 4 }),
    rest: fc.oneof(sized, chunks),
  })
  .map((of) => `${of.interim}${of.version}${of.status}${of.reason}\r\n${of.lines.join("")}${of.rest}`);

t.test("what is accepted as whole is whole to undici, with the same status, reason, fields and body", async (t) => {
  const tries = runs(1500, 15_000);
  let accepted = 0;
  const property = fc.asyncProperty(mutated(message), async (text) => {
    const read = readPlainly(text);
    if (read === undefined) return;
    accepted++;
    await sameByUndici(text, read);
  });
  await fc.assert(property, tries);
  t.ok(accepted > tries.numRuns * 0.06, `${accepted} were accepted`);
});

t.test("every octet in every place of an answer is read as undici reads it, or not at all", async (t) => {
  const octets = ["\0", "\t", "\n", "\r", " ", "!", '"', "0", "3", ":", ";", "A", "\x7f", "\x80", "\xff"];
  const texts = [
    "HTTP/1.1 200 OK\r\nX-B:c d\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
  ];
  let accepted = 0;
  for (const text of texts) {
    for (let at = 0; at < text.length; at++) {
      for (const octet of octets) {
        for (const rest of [at, at + 1]) {
          const spoilt = text.slice(0, at) + octet + text.slice(rest);
          const read = readPlainly(spoilt);
          if (read === undefined) continue;
          accepted++;
          await sameByUndici(spoilt, read);
        }
      }
    }
  }
  t.ok(accepted > 100, `${accepted} were accepted`);
});

const head = (...lines: string[]) => ["HTTP/1.1 200 OK", ...lines, "", ""].join("\r\n");

t.test("an answer of the plain form is read, as soon as its head is there", async (t) => {
  const text =
    "HTTP/1.1 404 Not  Found\r\nx-A: b \r\nX-a:\r\nContent-Length: 3\r\nKeep-Alive: max=5, timeout=7\r\n\r\n";
  const rawHeaders = ["x-A", "b", "X-a", "", "Content-Length", "3", "Keep-Alive", "max=5, timeout=7"];
  const rest = { rawHeaders, bodyAt: text.length, bodyBytes: 3, keptMs: 7_000 };
  t.same(readPlainHead(`${text}ab`), { status: 404, reason: "Not  Found", ...rest });
  for (let end = 0; end < text.length; end++) {
    if (readPlainHead(text.slice(0, end)) !== "partial") t.fail(`not partial with ${end} octets`);
  }
  const like = (text: string, part: Partial<PlainHead>) => t.match(readPlainHead(text), part, text);
  like("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", { reason: "", bodyBytes: 0, keptMs: undefined });
  for (const status of [204, 304]) {
    like(`HTTP/1.1 ${status} \r\nContent-Length: 5\r\n\r\n`, { reason: "", bodyBytes: 0, keptMs: 0 });
    like(`HTTP/1.1 ${status} \r\nContent-Length: 0\r\n\r\n`, { bodyBytes: 0, keptMs: undefined });
  }
  like("HTTP/1.1 205 \r\nContent-Length: 5\r\n\r\n", { bodyBytes: 5, keptMs: 0 });
  for (const lengths of [["3", "3"], ["3, 3"], ["3,3", "3"]]) {
    const fields = lengths.map((length) => `content-length: ${length}`);
    like(head("A: b", ...fields, "C: d"), { bodyBytes: 3, rawHeaders: ["A", "b", "content-length", "3", "C", "d"] });
  }
  like(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink: a\r\n\r\n${head("Content-Length: 3")}`, { status: 200 });
  for (const scheme of ["NTLM", "Negotiate", 'Basic realm="a", negotiate', "Kerberos"]) {
    like(head(`WWW-Authenticate: ${scheme}`, "Content-Length: 0"), { keptMs: 0 });
    like(head(`proxy-authenticate: ${scheme}`, "Content-Length: 0"), { keptMs: 0 });
  }
  like(head("WWW-Authenticate: Basic", "Content-Length: 0"), { keptMs: undefined });
  like("HTTP/1.1 304 Not Modified\r\n\r\n", { bodyBytes: 0 });
  like(head("Transfer-Encoding: Chunked"), { bodyBytes: "chunked" });
  like(head("Content-Length: 1", "Keep-Alive: timeout=7", "Connection: Close"), { keptMs: 0 });
  like(head("Content-Length: 1", "Connection: close", "Keep-Alive: timeout=7"), { keptMs: 0 });
});

t.test("everything else is left to the full parser", async (t) => {
  const odd: Record<string, string> = {
    "HTTP/1.0": "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "another protocol": "SSH-2.0-x\r\n",
    "an empty line before it": "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a switch of protocols": "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 0\r\n\r\n",
    "a status above 599": "HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n",
    "a status of four digits": "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "no space before the reason": "HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n",
    "a high octet in the reason": "HTTP/1.1 200 \xe9\r\nContent-Length: 0\r\n\r\n",
    "an end told by the connection": head(),
    "two lengths that differ": head("Content-Length: 1", "Content-Length: 2"),
    "two lengths that differ in one field": head("Content-Length: 1, 2"),
    "two lengths of one number written in two ways": head("Content-Length: 1", "Content-Length: 01"),
    "a length with a sign": head("Content-Length: +1"),
    "a length and chunks": head("Content-Length: 1", "Transfer-Encoding: chunked"),
    "chunks and a length": head("Transfer-Encoding: chunked", "Content-Length: 1"),
    "another coding": head("Transfer-Encoding: gzip, chunked"),
    "a 204 in chunks": "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    "announced trailers": head("Transfer-Encoding: chunked", "Trailer: A"),
    "an upgrade": head("Upgrade: h2c", "Content-Length: 0"),
    "what is not to be collected": head("X-Accel-Buffering: no", "Content-Length: 9"),
    "a folded line": head("A: b", " c", "Content-Length: 0"),
    "a head that does not end": `HTTP/1.1 200 OK\r\nA: ${"b".repeat(33_000)}`,
  };
  for (const [name, text] of Object.entries(odd)) t.equal(readPlainHead(text), "odd", name);
});

t.test("chunks are read when they are all there; extensions and trailers are not", async (t) => {
  const text = "3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n";
  t.same(readPlainChunks(text, 0), {
    parts: [
      [3, 6],
      [12, 22],
    ],
    end: text.length,
  });
  t.match(readPlainChunks(`${text}more`, 0), { end: text.length });
  for (let end = 0; end < text.length; end++)
    t.equal(readPlainChunks(text.slice(0, end), 0), "partial", `${end} octets`);
  const odd = [
    "0\r\nA: b\r\n\r\n",
    "1;a=b\r\n",
    "+1\r\n",
    "0x1\r\n",
    " 1\r\n",
    "1 \r\n",
    "\r\n",
    "1\r\nabc",
    "000000001\r\n",
    "z\r\n",
  ];
  for (const text of odd) t.equal(readPlainChunks(text, 0), "odd", JSON.stringify(text));
});
