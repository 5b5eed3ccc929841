/**
 * HTTP/1.1 as RFC 9112 has it, with nothing forgiven: a second opinion that shares no code with the gateway, node or undici.
 * Texts have one character for each octet.
 */

export type Field = readonly [name: string, value: string];

export interface Message {
  readonly fields: readonly Field[];
  readonly body: string;
  readonly isWhole: boolean;
  /** Where it begins and ends in the text. */
  readonly at: number;
  readonly end: number;
}

export interface RequestRead extends Message {
  readonly method: string;
  readonly target: string;
}

export interface AnswerRead extends Message {
  readonly status: number;
}

/** How the text goes on behind what was read. `closed`: its sender said that nothing follows. */
export type Rest = "clean" | "partial" | "broken" | "closed";

export interface Reading<Read> {
  readonly messages: readonly Read[];
  readonly rest: Rest;
  readonly why: string;
}

interface Body {
  readonly body: string;
  readonly end: number;
  readonly state: "whole" | "partial" | "broken";
}

type Framing = "none" | "chunked" | "rest" | "broken" | number;

const token = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
/** Of several spaces RFC 9112 §3 lets a recipient make one. */
const requestLine = new RegExp(`^(${token}) +([\\x21-\\x7e]+) +HTTP/1\\.([01])$`);
const statusLine = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const fieldLine = new RegExp(`^(${token}):[ \\t]*([\\t\\x20-\\x7e\\x80-\\xff]*)$`);

/** All requests of a connection. `mayRun` names what else keeps a request, and all behind it, from being read. */
export function readRequests(text: string, mayRun: (read: RequestRead) => string = () => ""): Reading<RequestRead> {
  const messages: RequestRead[] = [];
  const ended = (rest: Rest, why = ""): Reading<RequestRead> => ({ messages, rest, why });
  for (let at = afterEmptyLines(text, 0); at < text.length; at = afterEmptyLines(text, at)) {
    const head = readHead(text, at);
    if (head === "partial" || head === "broken") return ended(head, "head");
    const [, method = "", target = "", minor] = requestLine.exec(head.line) ?? [];
    if (method === "") return ended("broken", "request line");
    const framing = requestFraming(head.fields, minor === "1");
    if (framing === "broken") return ended("broken", "framing");
    const body = readBody(text, head.end, framing);
    const isWhole = body.state === "whole";
    const read = { method, target, fields: head.fields, body: body.body, isWhole, at, end: body.end };
    const reason = mayRun(read);
    if (reason !== "") return ended("broken", reason);
    messages.push(read);
    if (body.state !== "whole") return ended(body.state, "body");
    if (closes(head.fields, minor === "1")) return ended("closed");
    at = body.end;
  }
  return ended("clean");
}

/** The answers to requests with these methods, in order; interim ones are not among them. */
export function readAnswers(text: string, methods: readonly string[]): Reading<AnswerRead> {
  const messages: AnswerRead[] = [];
  const ended = (rest: Rest, why = ""): Reading<AnswerRead> => ({ messages, rest, why });
  for (let at = 0, from = 0; from < text.length; ) {
    const head = readHead(text, from);
    if (head === "partial" || head === "broken") return ended(head, "head");
    const [, minor, digits] = statusLine.exec(head.line) ?? [];
    if (digits === undefined) return ended("broken", "status line");
    const status = Number(digits);
    from = head.end;
    if (status < 200 && status !== 101) continue;
    const framing = answerFraming(status, methods[messages.length] ?? "GET", head.fields);
    if (framing === "broken") return ended("broken", "framing");
    const body = readBody(text, head.end, status === 101 ? "rest" : framing);
    const isWhole = body.state === "whole";
    messages.push({ status, fields: head.fields, body: body.body, isWhole, at, end: body.end });
    if (body.state !== "whole") return ended(body.state, "body");
    at = from = body.end;
    if (closes(head.fields, minor === "1") && from < text.length) return ended("broken", "behind the last answer");
  }
  return ended("clean");
}

export function fieldOf(message: Pick<Message, "fields">, name: string): string | undefined {
  return message.fields.find(([known]) => known.toLowerCase() === name)?.[1];
}

/** RFC 9112 §2.2 lets a server ignore empty lines, and a recipient end a line with LF alone. */
function afterEmptyLines(text: string, from: number): number {
  let at = from;
  while (text[at] === "\r" || text[at] === "\n") at++;
  return at;
}

function readHead(text: string, at: number): { line: string; fields: Field[]; end: number } | "partial" | "broken" {
  const end = text.indexOf("\r\n\r\n", at);
  if (end < 0) return "partial";
  const [line = "", ...lines] = text.slice(at, end).split("\r\n");
  const fields = fieldsOf(lines);
  return fields === undefined ? "broken" : { line, fields, end: end + 4 };
}

function fieldsOf(lines: readonly string[]): Field[] | undefined {
  const fields: Field[] = [];
  for (const line of lines) {
    const [, name, value] = fieldLine.exec(line) ?? [];
    if (name === undefined || value === undefined) return undefined;
    fields.push([name, value.replace(/[ \t]+$/, "")]);
  }
  return fields;
}

const valuesOf = (fields: readonly Field[], name: string): string[] =>
  fields.filter(([known]) => known.toLowerCase() === name).map(([, value]) => value);

function requestFraming(fields: readonly Field[], isNew: boolean): Framing {
  const [framing, codings] = [lengthOrCoding(fields), valuesOf(fields, "transfer-encoding")];
  if (framing === "chunked" && !isNew) return "broken";
  return framing === "rest" ? (codings.length > 0 ? "broken" : "none") : framing;
}

function answerFraming(status: number, method: string, fields: readonly Field[]): Framing {
  if (method === "HEAD" || status === 204 || status === 304) return "none";
  return lengthOrCoding(fields);
}

/** `rest`: neither is there. */
function lengthOrCoding(fields: readonly Field[]): Framing {
  const lengths = valuesOf(fields, "content-length");
  const codings = valuesOf(fields, "transfer-encoding");
  if (lengths.length + codings.length > 1) return "broken";
  if (codings.length === 1) return codings[0]?.toLowerCase() === "chunked" ? "chunked" : "broken";
  if (lengths.length === 0) return "rest";
  return /^[0-9]{1,15}$/.test(lengths[0] ?? "") ? Number(lengths[0]) : "broken";
}

function closes(fields: readonly Field[], isNew: boolean): boolean {
  const options = valuesOf(fields, "connection")
    .join(",")
    .toLowerCase()
    .split(/[ \t]*,[ \t]*/);
  return options.includes("close") || (!isNew && !options.includes("keep-alive"));
}

function readBody(text: string, from: number, framing: Framing): Body {
  if (framing === "chunked") return readChunks(text, from);
  // Whether the end of the connection was the end of the message cannot be seen in its octets.
  if (framing === "rest") return { body: text.slice(from), end: text.length, state: "whole" };
  const end = from + (typeof framing === "number" ? framing : 0);
  if (end > text.length) return { body: text.slice(from), end: text.length, state: "partial" };
  return { body: text.slice(from, end), end, state: "whole" };
}

function readChunks(text: string, from: number): Body {
  let body = "";
  let at = from;
  const ended = (state: Body["state"], end = text.length): Body => ({ body, end, state });
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) return ended("partial");
    const [, digits] = /^([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?$/.exec(text.slice(at, lineEnd)) ?? [];
    if (digits === undefined) return ended("broken");
    const bytes = Number.parseInt(digits, 16);
    at = lineEnd + 2;
    if (bytes === 0) break;
    body += text.slice(at, at + bytes);
    if (at + bytes + 2 > text.length) return ended("partial");
    if (!text.startsWith("\r\n", at + bytes)) return ended("broken");
    at += bytes + 2;
  }
  if (text.startsWith("\r\n", at)) return ended("whole", at + 2);
  const end = text.indexOf("\r\n\r\n", at);
  if (end < 0) return ended("partial");
  return fieldsOf(text.slice(at, end).split("\r\n")) === undefined ? ended("broken") : ended("whole", end + 4);
}
