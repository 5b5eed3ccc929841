import { randomUUID } from "node:crypto";
import { STATUS_CODES } from "node:http";
import type { Answer } from "../../engine/answer.js";
import type { HeaderPairs } from "../../model.js";
import { problemDocument } from "../../problem.js";
import { answerHeaders, problemContext, type ReplyContext, type Sent, shapeOf, unwritable } from "../reply.js";

/** An answer as it goes to a client that waits for nothing else on its connection. */
export interface PlainReply {
  /** Status line and fields, without those about the connection and the empty line. */
  readonly head: string;
  readonly body: Buffer;
  readonly sent: Sent;
}

/**
 * `undefined` for an answer that is streamed, or has trailers. Never throws: what cannot be written as HTTP is told to
 * `onFault`, and to the client.
 */
export function plainReply(
  answer: Answer,
  context: ReplyContext,
  onFault: (error: Error) => void,
): PlainReply | undefined {
  if (answer.kind === "problem") return problemReply(answer.problem, answer.result, context);
  if (answer.kind === "stream" || answer.response.trailers.length > 0) return undefined;
  const { response, result } = answer;
  const shape = shapeOf(response, context, answer);
  const head = headText(response.status, response.reason, answerHeaders(response.headers, shape, context));
  if (head === undefined) {
    onFault(new Error("a stored response holds a character that no field can have"));
    return problemReply(unwritable, "error", context);
  }
  return { head, body: response.body, sent: { status: response.status, result } };
}

function problemReply(
  problem: Parameters<typeof problemDocument>[0],
  result: Sent["result"],
  context: ReplyContext,
): PlainReply {
  const instance = `urn:uuid:${randomUUID()}`;
  const { status, headers, body } = problemDocument(
    problem,
    { instance, ...problemContext(context) },
    context.problems,
  );
  const reason = STATUS_CODES[status] ?? "";
  const head = headText(status, reason, [...headers, "Date", new Date().toUTCString()]) as string;
  return { head, body, sent: { status, result, code: problem.code, instance } };
}

/** What node refuses as well: `undefined`. */
const isName = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const isValue = /^[\t\x20-\x7e\x80-\xff]*$/;

function headText(status: number, reason: string, headers: HeaderPairs): string | undefined {
  if (!isValue.test(reason)) return undefined;
  let text = `HTTP/1.1 ${status} ${reason}\r\n`;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    const value = headers[i + 1]!;
    if (!isName.test(name) || !isValue.test(value)) return undefined;
    text += `${name}: ${value}\r\n`;
  }
  return text;
}
