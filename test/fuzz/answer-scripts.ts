import type { Random } from "../chaos/random.js";
import { flipped } from "./corpus.js";

export interface AnswerScript {
  readonly kind: string;
  /** Octet for octet. */
  readonly octets: string;
  /** `undefined` where the octets are no whole and well-formed answer. */
  readonly body: string | undefined;
  readonly ending: "keep" | "fin" | "reset" | "hang";
  /** Sent a moment after the rest, into a connection that is idle by then. */
  readonly late: string;
  readonly mayRelease: boolean;
}

type Part = Partial<AnswerScript> & Pick<AnswerScript, "octets">;
type Make = (mark: string, random: Random) => Part;

const head = (lines: readonly string[], status = "HTTP/1.1 201 Created"): string =>
  `${[status, "Content-Type: text/plain", ...lines].join("\r\n")}\r\n\r\n`;
const sized = (body: string, ...lines: string[]): string => head([`Content-Length: ${body.length}`, ...lines]) + body;
const foreign = (mark: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${mark.length}\r\n\r\n${mark}`;
const bodyOf = (mark: string, random: Random): string =>
  mark + random.pick(["", "y", "é".repeat(30), "w".repeat(9000)]);

/** `fields` beside, or in place of, the length of the mark. */
const odd =
  (fields: readonly string[], tail: (mark: string) => string, status?: string): Make =>
  (mark) => ({ octets: head(fields, status) + tail(mark) });
const self = (mark: string): string => mark;

const makers: Readonly<Record<string, Make>> = {
  plain: (mark, random) => {
    const body = bodyOf(mark, random);
    return { octets: sized(body), body };
  },
  chunked: (mark) => ({
    octets: `${head(["Transfer-Encoding: chunked"])}${mark.length.toString(16)};e=1\r\n${mark}\r\n0\r\nX-Sum: 1\r\n\r\n`,
    body: mark,
  }),
  "until the end": (mark) => ({ octets: head([]) + mark, ending: "fin" }),
  "with Connection: close": (mark) => ({ octets: sized(mark, "Connection: close"), body: mark, ending: "fin" }),
  "after interim answers": (mark) => ({
    octets: `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n${sized(mark)}`,
    body: mark,
  }),
  released: (mark) => ({
    octets: `HTTP/1.1 401 No\r\nContent-Length: ${mark.length}\r\n\r\n${mark}`,
    mayRelease: true,
  }),
  "two at once": (mark) => ({ octets: sized(mark) + foreign(mark) }),
  "another one later": (mark) => ({ octets: sized(mark), body: mark, late: foreign(mark) }),
  "octets later": (mark) => ({ octets: sized(mark), body: mark, late: `\r\n${mark}` }),
  "length and chunked": odd(["Content-Length: 3", "Transfer-Encoding: chunked"], (mark) => `0\r\n\r\n${foreign(mark)}`),
  "two lengths": odd(["Content-Length: 3", "Content-Length: 30"], (mark) => mark + foreign(mark)),
  "length too short": odd(["Content-Length: 5"], (mark) => mark + foreign(mark)),
  "length too long": (mark) => ({ octets: head([`Content-Length: ${mark.length + 9}`]) + mark, ending: "fin" }),
  "length too long and kept": odd(["Content-Length: 99"], self),
  "bad length": odd(["Content-Length: 1x"], self),
  "other coding": odd(["Transfer-Encoding: gzip"], self),
  "bad chunk": odd(["Transfer-Encoding: chunked"], (mark) => `zz\r\n${mark}\r\n0\r\n\r\n`),
  "chunk longer than said": odd(["Transfer-Encoding: chunked"], (mark) => `5\r\n${mark}\r\n0\r\n\r\n`),
  "cut chunk": (mark) => ({ octets: `${head(["Transfer-Encoding: chunked"])}ff\r\n${mark}`, ending: "reset" }),
  "bare LF": odd([], self, "HTTP/1.1 201 Created\nContent-Length: 3"),
  "folded line": odd(["X-Note: a\r\n b", "Content-Length: 3"], self),
  "NUL in a value": odd(["X-Note: a\0b", "Content-Length: 3"], self),
  "CR in a value": odd(["X-Note: a\rSet-Cookie: b", "Content-Length: 0"], () => ""),
  "space before the colon": odd(["Content-Length : 3"], self),
  "no reason": (mark) => ({ octets: head([`Content-Length: ${mark.length}`], "HTTP/1.1 201") + mark }),
  "HTTP/1.0": (mark) => ({
    octets: head([`Content-Length: ${mark.length}`], "HTTP/1.0 201 Created") + mark,
    ending: "fin",
  }),
  "HTTP/2.0": odd(["Content-Length: 3"], self, "HTTP/2.0 201 Created"),
  "bad status": odd(["Content-Length: 3"], self, "HTTP/1.1 2x1 Created"),
  "status 099": odd(["Content-Length: 3"], self, "HTTP/1.1 099 Low"),
  "204 with a body": odd(["Content-Length: 20"], foreign, "HTTP/1.1 204 No Content"),
  "304 with a body": (mark) => ({
    octets: `HTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n${foreign(mark)}`,
    mayRelease: true,
  }),
  "101 unasked": odd(["Connection: upgrade", "Upgrade: x"], foreign, "HTTP/1.1 101 Switching Protocols"),
  "no answer": () => ({ octets: "", ending: "hang" }),
  "orderly end": () => ({ octets: "", ending: "fin" }),
  reset: () => ({ octets: "", ending: "reset" }),
  "reset in the head": () => ({ octets: "HTTP/1.1 201 Cre", ending: "reset" }),
  "large head": odd([`X-Note: ${"n".repeat(70_000)}`, "Content-Length: 0"], () => ""),
  noise: (mark) => ({ octets: `\xff\0${mark}\r\n\r\n` }),
  "changed octets": (mark, random) => ({ octets: flipped(sized(mark), random), mayRelease: true }),
};

export const kindsOfAnswer = Object.keys(makers);

export function answerScript(mark: string, random: Random): AnswerScript {
  const kind = random.chance(0.3) ? "plain" : random.pick(kindsOfAnswer);
  const made = (makers[kind] as Make)(mark, random);
  return { kind, body: undefined, ending: "keep", late: "", mayRelease: false, ...made };
}
