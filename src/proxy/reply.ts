import { randomUUID } from "node:crypto";
import { type ServerResponse, STATUS_CODES } from "node:http";
import type { Answer } from "../engine/answer.js";
import type { Result } from "../events.js";
import type {
  Cors,
  HeaderPairs,
  ProblemCode,
  ProblemNote,
  RecordKey,
  StoredResponse,
  StreamedResponse,
} from "../model.js";
import { type ProblemContext, type ProblemDocument, type ProblemTypes, problemDocument, shownId } from "../problem.js";
import { corsFields, replayedCors } from "../rules/cors.js";
import { headerValue, isNamed } from "../rules/headers.js";
import { type Reply, replyHeaders } from "../rules/response-headers.js";
import { hasBody } from "./body.js";
import { httpDate } from "./http-date.js";
import { cutIdleReader } from "./idle-reader.js";
import { resetSocket } from "./reset-socket.js";

/** What was put on the wire, for the request's log line. */
export interface Sent {
  readonly status: number;
  readonly result: Result;
  readonly code?: ProblemCode;
  readonly instance?: string;
}

/** What an answer needs besides itself. */
export interface ReplyContext {
  readonly method: string;
  readonly route: string | null;
  readonly idempotencyKey: string | undefined;
  readonly recordKey: RecordKey;
  readonly replayHeader: string;
  /** `Reply.hidesCookies`. */
  readonly hidesCookies: boolean;
  readonly problems: ProblemTypes;
  /** The member of `Via` that names this gateway. */
  readonly via: string;
  readonly cors: Cors | null;
  /** The header of the request. */
  readonly request: HeaderPairs;
  /** How long its reader may take nothing of an answer that is streamed, ms. */
  readonly patienceMs: number;
}

/** What a problem needs besides itself. */
export interface ProblemReplyContext extends Omit<ProblemContext, "instance"> {
  readonly problems: ProblemTypes;
}

/**
 * Writes an answer of the engine. The response may belong to a client that has left: then nothing happens. Never throws:
 * what cannot be written (a record may hold what node refuses to write) is told to `onFault`, and to the client.
 */
export function sendAnswer(
  response: ServerResponse,
  answer: Answer,
  context: ReplyContext,
  onFault: (error: Error) => void,
): Sent {
  try {
    return write(response, answer, context);
  } catch (error) {
    onFault(error as Error);
    if (answer.kind === "stream") answer.response.body.readOn();
    return sendUnwritable(response, problemContext(context));
  }
}

/** Instead of an answer that node refuses to write. */
export function sendUnwritable(response: ServerResponse, context: ProblemReplyContext): Sent {
  if (response.headersSent) response.destroy();
  return sendProblem(response, unwritable, "error", context);
}

export const unwritable: ProblemNote = {
  code: "internal",
  detail: "The response of this request is known, but cannot be written as HTTP. The request is not sent again.",
};

function write(response: ServerResponse, answer: Answer, context: ReplyContext): Sent {
  switch (answer.kind) {
    case "problem":
      return sendProblem(response, answer.problem, answer.result, problemContext(context));
    case "stream":
      sendStream(
        response,
        answer.response,
        answerHeaders(answer.response.headers, shapeOf(answer.response, context), context),
        { whenLeft: "readOn", patienceMs: context.patienceMs },
      );
      return { status: answer.response.status, result: answer.result };
    case "response": {
      const { response: stored } = answer;
      const shape = shapeOf(stored, context, answer);
      sendWhole(response, stored, answerHeaders(stored.headers, shape, context));
      return { status: stored.status, result: answer.result };
    }
  }
}

/** The header of an answer for the client that asks. */
export function answerHeaders(stored: HeaderPairs, shape: Reply, context: ReplyContext): string[] {
  const headers = replyHeaders(stored, shape);
  headers.push("Via", context.via);
  return shape.isReplay ? replayedCors(headers, context.cors, context.request, context.replayHeader) : headers;
}

/** The context of a problem: with what a page of another origin needs to read it. */
export function problemContext(context: ReplyContext): ProblemReplyContext {
  const { route, idempotencyKey, recordKey, problems, cors, request, replayHeader } = context;
  return { route, idempotencyKey, recordKey, problems, fields: corsFields(cors, request, replayHeader) };
}

export function shapeOf(
  answered: StoredResponse | StreamedResponse,
  { method, replayHeader, recordKey, hidesCookies }: ReplyContext,
  whole?: Extract<Answer, { kind: "response" }>,
): Reply {
  const { body } = answered;
  const isStreamed = !Buffer.isBuffer(body);
  const [ageMs, remainingMs] = [whole?.ageMs ?? null, whole?.remainingMs ?? null];
  return {
    method,
    status: answered.status,
    bodyBytes: isStreamed ? undefined : body.length,
    hasTrailers: isStreamed
      ? headerValue(answered.headers, "content-length") === undefined
      : answered.trailers !== undefined && answered.trailers.length > 0,
    replayHeader,
    isReplay: whole?.repeated ?? false,
    recordId: shownId(recordKey),
    hidesCookies,
    residentSeconds: ageMs === null ? undefined : ageMs / 1000,
    expires: remainingMs === null ? undefined : httpDate(Date.now() + remainingMs),
  };
}

/** One of the gateway's own answers, as RFC 9457 wants it. */
export function sendProblem(
  response: ServerResponse,
  problem: ProblemNote,
  result: Result,
  context: ProblemReplyContext,
): Sent {
  const instance = `urn:uuid:${randomUUID()}`;
  const document = problemDocument(problem, { instance, ...context }, context.problems);
  if (endsConnection(problem.code)) response.shouldKeepAlive = false;
  if (!response.headersSent) send(response, document);
  return { status: document.status, result, code: problem.code, instance };
}

/** After these nothing that the connection still brings is begun: another reader may see its messages end elsewhere. */
export function endsConnection(code: ProblemCode): boolean {
  return code === "request-ambiguous" || code === "headers-too-many";
}

/**
 * Answers before the request's body was read. What is left of it is read and dropped, by `closeGently` where it has not
 * arrived by then; where it has, the connection stays open.
 */
function send(response: ServerResponse, { status, headers, body }: ProblemDocument): void {
  const { req: request } = response;
  if (request.complete || !hasBody(request)) {
    response.writeHead(status, headers).end(body);
    return;
  }
  request.resume();
  setImmediate(() => {
    if (response.headersSent || response.destroyed) return;
    if (!request.complete) response.shouldKeepAlive = false;
    response.writeHead(status, headers).end(body);
  });
}

export function sendWhole(response: ServerResponse, stored: StoredResponse, headers: string[]): void {
  writeHead(response, stored.status, stored.reason, headers, stored.trailers.length > 0);
  addTrailers(response, stored.trailers);
  const { body } = stored;
  // Head and body in one string are one plain write; octets beside the head are gathered and written apart.
  if (body.length > 0 && body.length <= maxJoinedBytes) response.end(body.toString("latin1"), "latin1");
  else response.end(body);
}

const maxJoinedBytes = 16 * 1024;

interface StreamedTo {
  /** When the reader leaves, `cut` ends the call; with `readOn` the call goes on, and the rest is dropped. */
  readonly whenLeft: "cut" | "readOn";
  /** A reader that takes nothing for so long has left. */
  readonly patienceMs: number;
}

/** Passes a response on while it arrives. */
export function sendStream(
  response: ServerResponse,
  streamed: StreamedResponse,
  headers: string[],
  { whenLeft, patienceMs }: StreamedTo,
): void {
  const { body } = streamed;
  const leave = () => {
    body.unpipe(response);
    if (whenLeft === "cut") body.destroy();
    else body.readOn();
  };
  // Torn upstream: torn here too, so that no client takes a part for the whole.
  body.on("error", () => tear(response, headers));
  if (response.destroyed) return leave();
  response.on("close", leave);
  cutIdleReader(response, patienceMs);
  writeHead(response, streamed.status, streamed.reason, headers, true);
  // The head goes out at once; `flushHeaders` would write it as UTF-8.
  response.write(nothing);
  body.pipe(response, { end: false });
  body.on("end", () => {
    if (streamed.trailers !== undefined) addTrailers(response, streamed.trailers);
    response.end();
  });
}

const nothing = Buffer.alloc(0);

/**
 * Ends a response before its end, so that the client notices. Where only the end of the connection ends the body (HTTP/1.0),
 * a mere close would look like the end of the response: the connection is reset instead.
 */
function tear(response: ServerResponse, headers: HeaderPairs): void {
  const { socket } = response;
  const isDelimited = response.chunkedEncoding || headerValue(headers, "content-length") !== undefined;
  if (!isDelimited && socket !== null) resetSocket(socket);
  response.destroy();
}

/** The upstream's head as it came: its own Date or none, and a status line that node would not have chosen. */
function writeHead(
  response: ServerResponse,
  status: number,
  reason: string,
  headers: string[],
  mayHaveTrailers: boolean,
): void {
  response.sendDate = false;
  if (!response.req.complete) response.shouldKeepAlive = false;
  // Trailers need chunks (RFC 9112 §7.1.2), which no client of HTTP/1.0 reads. Node throws where they are announced without.
  const isChunked = response.useChunkedEncodingByDefault && headerValue(headers, "content-length") === undefined;
  const isKept = (mayHaveTrailers && isChunked) || headerValue(headers, "trailer") === undefined;
  response.writeHead(status, reason, isKept ? headers : withoutTrailer(headers));
}

function withoutTrailer(headers: HeaderPairs): string[] {
  return headers.filter((_, at) => !isNamed(headers[at - (at % 2)]!, "trailer"));
}

function addTrailers(response: ServerResponse, trailers: HeaderPairs): void {
  if (trailers.length > 0) response.addTrailers(pairsOf(trailers));
}

function pairsOf(flat: HeaderPairs): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i] as string, flat[i + 1] as string]);
  return pairs;
}

/** A problem on a socket that carries no HTTP message any more, or never did. */
export function rawProblem(document: ProblemDocument): string {
  let text = `HTTP/1.1 ${document.status} ${STATUS_CODES[document.status] ?? ""}\r\nConnection: close\r\n`;
  for (const [name, value] of pairsOf(document.headers)) text += `${name}: ${value}\r\n`;
  return `${text}\r\n${document.body.toString()}`;
}
