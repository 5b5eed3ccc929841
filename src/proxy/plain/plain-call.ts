import type { HeaderPairs, Outcome } from "../../model.js";
import { expectsBody, hasUnexpectedBody } from "../../rules/request-body.js";
import { responseHeaders } from "../../rules/response-headers.js";
import { callTimer, mayTryAgain, sentTimer } from "../call-times.js";
import { type Dispatch, late, TimeoutError } from "../exchange.js";
import { connectPauseMs } from "../upstream-connect.js";
import { readOddAnswer } from "./odd-answer.js";
import type { PlainAnswer, UpstreamConnection } from "./upstream-connection.js";
import type { PlainCall, UpstreamPool } from "./upstream-pool.js";

/** A request whose body is there whole. */
export type WholeDispatch = Dispatch & { readonly body: Buffer };

/**
 * One call, never repeated; as `exchange`, and with the same outcomes, but without a library between the gateway and the
 * connection. Only answers of the plain form are read here. The rest of an odd one is read by undici, over the same
 * connection.
 */
export function callPlainly(pool: UpstreamPool, dispatch: WholeDispatch, done: (outcome: Outcome) => void): void {
  pool.send(new Call(pool, dispatch, done));
}

const noTrailers: HeaderPairs = [];

class Call implements PlainCall {
  readonly head: string;
  readonly body: Buffer;
  readonly isLast: boolean;
  readonly maxBodyBytes: number;
  readonly streamPattern: RegExp | undefined;
  #timer: NodeJS.Timeout;
  #connection: UpstreamConnection | undefined;
  #isOver = false;
  #attempts = 0;
  readonly #begunMs: number;

  constructor(
    private readonly pool: UpstreamPool,
    private readonly dispatch: WholeDispatch,
    private readonly done: (outcome: Outcome) => void,
  ) {
    this.body = dispatch.body;
    this.isLast = pool.keepsNothing || hasUnexpectedBody(dispatch.method, dispatch.body.length > 0);
    this.head = requestHead(dispatch, this.isLast);
    this.maxBodyBytes = dispatch.maxStoredBytes;
    this.streamPattern = dispatch.streamPattern;
    this.#begunMs = dispatch.retryUnsentMs ? performance.now() : 0;
    this.#timer = callTimer(() => this.#expire(), dispatch);
  }

  mayBeSent(connection: UpstreamConnection): boolean {
    if (this.#isOver) return false;
    if (this.dispatch.mayBeSent?.() === false) {
      this.#end(late());
      return false;
    }
    this.#connection = connection;
    this.#timer = sentTimer(this.#timer, () => this.#expire(), this.dispatch);
    return true;
  }

  unsent(error: Error): void {
    if (this.#isOver || this.pool.isDestroyed || !mayTryAgain(this.dispatch, this.#begunMs)) {
      this.#end({ kind: "unsent", error });
      return;
    }
    setTimeout(() => !this.#isOver && this.pool.send(this), connectPauseMs(++this.#attempts));
  }

  answered(answer: PlainAnswer): void {
    if (this.#isOver) return;
    if (answer.kind === "whole") {
      const { head, body } = answer;
      const headers = responseHeaders(head.rawHeaders);
      this.#end({
        kind: "answered",
        response: { status: head.status, reason: head.reason, headers, body, trailers: noTrailers },
      });
    } else if (answer.kind === "broken") {
      this.#end({ kind: "unanswered", error: answer.error, cause: "reset" });
    } else {
      // The deadline of the call stays ours until the answer is whole, or is streamed: then only its parts have one.
      readOddAnswer(this.#connection!, answer.octets, this.dispatch, (outcome) => this.#end(outcome));
    }
  }

  #expire(): void {
    const error = new TimeoutError(`no complete answer within ${this.dispatch.timeoutMs} ms`);
    if (this.#connection === undefined) {
      this.pool.withdraw(this);
      this.#end({ kind: "unsent", error });
    } else {
      this.#end({ kind: "unanswered", error, cause: "timeout" });
      this.#connection.destroy();
    }
  }

  #end(outcome: Outcome): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.done(outcome);
  }
}

/** One character for each octet. Neither part of the request can hold the end of a line: node's parser and ours see to it. */
function requestHead({ method, target, headers, body }: WholeDispatch, isLast: boolean): string {
  let head = `${method} ${target} HTTP/1.1\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  if (body.length > 0 || expectsBody(method)) head += `Content-Length: ${body.length}\r\n`;
  return head + (isLast ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n");
}
