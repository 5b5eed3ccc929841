import type { Random } from "../chaos/random.js";
import { fieldOf, type RequestRead } from "./strict-reader.js";

interface Draft {
  method: string;
  target: string;
  version: string;
  fields: string[];
  /** Behind the empty line: with its framing. */
  tail: string;
}

type Twist = (draft: Draft, random: Random, name: string) => string;

const padding = ["", "x", '{"amount":1}', "é".repeat(20), "0\r\n\r\n", "z".repeat(3000)];

/** A whole request, as a body carries it that is to be taken for one. */
const hidden = (name: string): string =>
  `POST /pay/hidden-${name} HTTP/1.1\r\nHost: h\r\nIdempotency-Key: hidden-${name}\r\nX-Copy: hidden\r\nContent-Length: 0\r\n\r\n`;

const written = ({ method, target, version, fields, tail }: Draft): string =>
  `${method} ${target} ${version}\r\n${fields.map((field) => `${field}\r\n`).join("")}\r\n${tail}`;

const chunked = (body: string, random: Random, extension = ""): string => {
  let text = "";
  for (let at = 0; at < body.length; ) {
    const bytes = random.integer(1, 40);
    const part = body.slice(at, at + bytes);
    text += `${part.length.toString(16)}${extension}\r\n${part}\r\n`;
    at += bytes;
  }
  return text;
};

function unframed(draft: Draft): Draft {
  draft.fields = draft.fields.filter((field) => !field.startsWith("Content-Length"));
  return draft;
}

/** With these fields in place of its length, or beside it. */
const withFields =
  (...fields: string[]): Twist =>
  (draft) => {
    draft.fields.push(...fields);
    return written(draft);
  };

const inChunks =
  (extension: string, end: string, ...fields: string[]): Twist =>
  (draft, random) => {
    unframed(draft).fields.push("Transfer-Encoding: chunked", ...fields);
    draft.tail = chunked(draft.tail, random, extension) + end;
    return written(draft);
  };

/** The length is said as `field`; what is behind the head is a request in disguise. */
const disguised =
  (...fields: string[]): Twist =>
  (draft, _, name) => {
    unframed(draft).fields.push(...fields);
    draft.tail = hidden(name);
    return written(draft);
  };

const chunkedInDisguise =
  (...fields: string[]): Twist =>
  (draft, _, name) => {
    unframed(draft).fields.push(...fields);
    draft.tail = `0\r\n\r\n${hidden(name)}`;
    return written(draft);
  };

const aimed =
  (change: (target: string) => string): Twist =>
  (draft) => {
    draft.target = change(draft.target);
    return written(draft);
  };

const spelled =
  (change: (text: string) => string): Twist =>
  (draft) =>
    change(written(draft));

/** What is made of a message before it is sent. */
export const twists: Readonly<Record<string, Twist>> = {
  plain: written,
  "unprotected POST": aimed((target) => target.replace("/pay/", "/open/")),
  "unprotected GET": (draft) => {
    unframed(draft).tail = "";
    return written({ ...draft, method: "GET", target: draft.target.replace("/pay/", "/open/") });
  },
  HEAD: (draft) => {
    unframed(draft).tail = "";
    return written({ ...draft, method: "HEAD", target: draft.target.replace("/pay/", "/open/") });
  },
  "GET with a body": (draft) => written({ ...draft, method: "GET", target: draft.target.replace("/pay/", "/open/") }),
  "DELETE with a body": (draft) => written({ ...draft, method: "DELETE" }),
  PUT: (draft) => written({ ...draft, method: "PUT" }),
  "no key": (draft) => written({ ...draft, fields: draft.fields.filter((field) => !/^Idempotency/.test(field)) }),
  chunked: inChunks("", "0\r\n\r\n"),
  "chunk extensions": inChunks(';a="b";c', "0;last\r\n\r\n"),
  trailers: inChunks("", "0\r\nX-Sum: 1\r\nContent-Length: 5\r\n\r\n", "Trailer: X-Sum"),
  "chunked without an end": inChunks("", "0\r\n"),
  "chunk size with 0x": inChunks("", "0x0\r\n\r\n"),
  "chunk size with a sign": inChunks("", "+0\r\n\r\n"),
  "chunk size too large": inChunks("", "fffffffffffffffff\r\n\r\n"),
  "chunk size with a space": inChunks(" ", "0 \r\n\r\n"),
  "chunks with bare LF": (draft, random) => inChunks("", "0\r\n\r\n")(draft, random, "").replaceAll("\r\n5", "\n5"),
  "chunk longer than said": inChunks("", "1\r\nab\r\n0\r\n\r\n"),
  "trailer that is no field": inChunks("", "0\r\nGET / HTTP/1.1\r\n\r\n"),
  "length and chunked": chunkedInDisguise("Content-Length: 5", "Transfer-Encoding: chunked"),
  "chunked and length": chunkedInDisguise("Transfer-Encoding: chunked", "Content-Length: 0"),
  "two lengths": disguised("Content-Length: 0", "Content-Length: 5"),
  "two equal lengths": disguised("Content-Length: 0", "Content-Length: 0"),
  "list of lengths": disguised("Content-Length: 0, 0"),
  "length with a sign": disguised("Content-Length: +0"),
  "length in hexadecimal": disguised("Content-Length: 0x0"),
  "negative length": disguised("Content-Length: -1"),
  "empty length": disguised("Content-Length: "),
  "length too large": disguised("Content-Length: 99999999999999999999"),
  "length too short": (draft, _, name) => {
    draft.tail += hidden(name);
    return written(draft);
  },
  "length too long": (draft) => {
    draft.tail = draft.tail.slice(0, -1);
    return written(draft);
  },
  "other coding": chunkedInDisguise("Transfer-Encoding: gzip, chunked"),
  "unknown coding": chunkedInDisguise("Transfer-Encoding: xchunked"),
  "identity coding": chunkedInDisguise("Transfer-Encoding: identity"),
  "empty coding": chunkedInDisguise("Transfer-Encoding: "),
  "coding twice": chunkedInDisguise("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
  "coding with a vertical tab": chunkedInDisguise("Transfer-Encoding: \x0bchunked"),
  "coding in capitals": chunkedInDisguise("tRANSFER-eNCODING: CHUNKED"),
  "coding with an underscore": chunkedInDisguise("Transfer_Encoding: chunked", "Content-Length: 0"),
  "length with an underscore": disguised("Content_Length: 120"),
  "HTTP/1.0": (draft) => written({ ...draft, version: "HTTP/1.0" }),
  "HTTP/1.0 kept": (draft, random, name) =>
    withFields("Connection: keep-alive")({ ...draft, version: "HTTP/1.0" }, random, name),
  "HTTP/1.0 chunked": (draft, random, name) =>
    chunkedInDisguise("Transfer-Encoding: chunked", "Connection: keep-alive")(
      { ...draft, version: "HTTP/1.0" },
      random,
      name,
    ),
  "HTTP/1.2": (draft) => written({ ...draft, version: "HTTP/1.2" }),
  "HTTP/0.9": spelled((text) => text.replace(" HTTP/1.1", "")),
  "two hosts": disguised("Host: h", "Content-Length: 0"),
  "no host": (draft) => written({ ...draft, fields: draft.fields.filter((field) => !field.startsWith("Host")) }),
  "Connection: close": withFields("Connection: close"),
  "Connection names the key": withFields("Connection: Idempotency-Key"),
  "Connection names a length": withFields("Connection: Content-Length"),
  "Expect: 100-continue": withFields("Expect: 100-continue"),
  Upgrade: withFields("Connection: upgrade", "Upgrade: websocket"),
  "HTTP/2 by upgrade": withFields("Connection: upgrade, http2-settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
  "folded line": withFields("X-Note: a\r\n b"),
  "space before the colon": disguised("Content-Length : 0"),
  "space before the name": disguised(" Content-Length: 0"),
  "no colon": withFields("X-Note"),
  "empty name": withFields(": a"),
  "bare LF": spelled((text) => text.replace("\r\n", "\n")),
  "bare LF before a length": spelled((text) => text.replace("\r\nContent-Length", "\nContent-Length")),
  "bare CR": withFields("X-Note: a\rContent-Length: 0"),
  "NUL in a value": withFields("X-Note: a\0b"),
  "octets above ASCII": withFields("X-Note: \xe9\xff"),
  "empty lines before": spelled((text) => `\r\n\r\n${text}`),
  "LF before": spelled((text) => `\n${text}`),
  "two spaces": spelled((text) => text.replace(" ", "  ")),
  "tab for a space": spelled((text) => text.replace(" ", "\t")),
  "dot segments": aimed((target) => target.replace("/pay/", "/open/../pay/")),
  "encoded dot segments": aimed((target) => target.replace("/pay/", "/open/%2e%2e/pay/")),
  "encoded slash": aimed((target) => target.replace("/pay/", "/pay%2f")),
  fragment: aimed((target) => `${target}#a`),
  "absolute form": aimed((target) => `http://h${target}`),
  "absolute form of another host": aimed((target) => `http://other${target}`),
  "query with a request": aimed((target) => `${target}?a=%0d%0aGET`),
  "large field": withFields(`X-Note: ${"n".repeat(40_000)}`),
  "many fields": withFields(...Array.from({ length: 230 }, (_, n) => `X-${n}: ${n}`)),
  "method override": withFields("X-HTTP-Method-Override: GET"),
  "changed octets": (draft, random) => flipped(written(draft), random),
};

export const kindsOfTwist = Object.keys(twists);

/** One to three octets, or runs of them, replaced, left out, put in or doubled. */
export function flipped(text: string, random: Random): string {
  let changed = text;
  for (let left = random.integer(1, 3); left > 0; left--) {
    const at = random.integer(0, changed.length);
    const bytes = random.integer(0, 4);
    const put = random.pick([
      "",
      "\r",
      "\n",
      "\r\n",
      "\r\n\r\n",
      " ",
      "\t",
      "\0",
      ":",
      ",",
      "0",
      "9",
      "-",
      "chunked",
      "\xff",
      changed.slice(at, at + 30),
    ]);
    changed = changed.slice(0, at) + put + changed.slice(at + bytes);
  }
  return changed;
}

/** `copy` is in a field of its own: it tells two requests with one key apart. */
export function message(kind: string, name: string, copy: string, random: Random): string {
  const body = `${random.pick(padding)}[${name}]${random.chance(0.4) ? hidden(name) : ""}`;
  const fields = ["Host: h", `Idempotency-Key: key-${name}`, `X-Copy: ${copy}`, `Content-Length: ${body.length}`];
  return (twists[kind] as Twist)(
    { method: "POST", target: `/pay/${name}`, version: "HTTP/1.1", fields, tail: body },
    random,
    name,
  );
}

/** What RFC 9112 alone lets through, and the gateway may not: it would be read in two ways, or as another path. */
export function ambiguityOf(read: RequestRead): string {
  const hosts = read.fields.filter(([name]) => name.toLowerCase() === "host").length;
  if (hosts > 1) return "two Host";
  if (read.fields.some(([name]) => /^(content|transfer)[^-](length|encoding)$/i.test(name)))
    return "a name in disguise";
  if (/#|%00|%0d|%0a(?!GET)/i.test(read.target.split("?")[0] ?? "")) return "target";
  if (/(?:^|\/)(?:\.|%2e){1,2}(?:[/?]|$)/i.test(read.target.split("?")[0] ?? "")) return "dot segments";
  const named = (fieldOf(read, "connection") ?? "").toLowerCase().split(/[ \t]*,[ \t]*/);
  return named.includes("idempotency-key") ? "Connection names the key" : "";
}
