import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { Answer } from "../engine/answer.js";
import type { Result } from "../events.js";
import type { HeaderPairs, ProblemCode, ProblemNote, StoredResponse, StreamedResponse } from "../model.js";
import { type ProblemTypes, problemDocument } from "../problem.js";
import { replayHeaders, wholeHeaders } from "../rules/headers.js";

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
  readonly replayHeader: string;
  readonly problems: ProblemTypes;
}

/** Writes an answer of the engine. The response may belong to a client that has left: then nothing happens. */
export function sendAnswer(response: ServerResponse, answer: Answer, context: ReplyContext): Sent {
  switch (answer.kind) {
    case "problem":
      return sendProblem(response, answer.problem, answer.result, context);
    case "stream":
      sendStream(response, answer.response);
      return { status: answer.response.status, result: answer.result };
    case "response": {
      const { response: stored } = answer;
      const headers = answer.repeated
        ? replayHeaders(stored, context.method, context.replayHeader, answer.ageMs)
        : wholeHeaders(stored, context.method);
      sendWhole(response, stored, headers);
      return { status: stored.status, result: answer.result };
    }
  }
}

/** One of the gateway's own answers, as RFC 9457 wants it. */
export function sendProblem(
  response: ServerResponse,
  problem: ProblemNote,
  result: Result,
  context: Pick<ReplyContext, "route" | "idempotencyKey" | "problems">,
): Sent {
  const instance = `urn:uuid:${randomUUID()}`;
  const document = problemDocument(problem, { instance, ...context }, context.problems);
  // What is left of an unread body would be taken for the next request.
  if (!response.req.complete) response.shouldKeepAlive = false;
  if (!response.headersSent) {
    response.writeHead(document.status, document.headers);
    response.end(document.body);
  }
  return { status: document.status, result, code: problem.code, instance };
}

function sendWhole(response: ServerResponse, stored: StoredResponse, headers: string[]): void {
  writeHead(response, stored.status, stored.reason, headers);
  if (stored.trailers.length > 0) response.addTrailers(pairsOf(stored.trailers));
  response.end(stored.body);
}

/** Passes a response on while it arrives. A reader who leaves cuts an event stream; any other answer is read to its end. */
export function sendStream(response: ServerResponse, streamed: StreamedResponse): void {
  const { body } = streamed;
  const leave = () => {
    if (streamed.endless) body.destroy();
    else body.resume();
  };
  if (response.destroyed || response.socket === null) return leave();
  writeHead(response, streamed.status, streamed.reason, [...streamed.headers]);
  response.flushHeaders();
  response.on("close", () => {
    body.unpipe(response);
    leave();
  });
  // Cut short upstream: cut short here, so that nobody takes the part for the whole.
  body.on("error", () => response.destroy());
  body.pipe(response);
}

/** The upstream's head as it came: its own Date or none, and a status line that node would not have chosen. */
function writeHead(response: ServerResponse, status: number, reason: string, headers: string[]): void {
  response.sendDate = false;
  if (!response.req.complete) response.shouldKeepAlive = false;
  response.writeHead(status, reason, headers);
}

function pairsOf(flat: HeaderPairs): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) pairs.push([flat[i] as string, flat[i + 1] as string]);
  return pairs;
}
