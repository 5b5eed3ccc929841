import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { Client } from "undici";
import type { Outcome } from "../../model.js";
import { AnswerHeads } from "../answer-heads.js";
import { type Dispatch, type Dispatching, openCall } from "../exchange.js";
import { type CallConnection, clientOptions, readThrough } from "../undici-connection.js";
import { wasReset, watchResets } from "../undici-resets.js";
import type { UpstreamConnection } from "./upstream-connection.js";

/**
 * An answer that has begun on a connection of ours, read by undici from its first octet: it knows all of HTTP/1.1. It
 * believes to have sent the request, too; what it writes goes nowhere. The connection ends with the answer.
 */
export function readOddAnswer(
  connection: UpstreamConnection,
  octets: readonly Buffer[],
  dispatch: Dispatch,
  done: (outcome: Outcome) => void,
): void {
  const answer = new AnswerOnly(connection, octets);
  const client = new Client(dispatch.origin, {
    ...clientOptions,
    // Not at once: undici does not notice a connection that is there while it asks for one.
    connect: (_options, callback) => process.nextTick(callback, null, answer as unknown as Socket),
  });
  answer.on("close", () => void client.destroy());
  const pool: Dispatching = {
    dispatch(request, call) {
      call.connection = answer;
      client.dispatch(request, call);
    },
  };
  openCall(pool, { ...dispatch, body: null }, done, { isSent: true, isLast: true });
}

/** A connection whose request has been sent. Nothing is read from it before that seems so to undici as well. */
class AnswerOnly extends Duplex implements CallConnection {
  isTorn = false;
  readonly requests = 1;
  readonly hasAnswered = true;
  readonly #socket: Socket;
  #waiting: (Buffer | null)[] | undefined;

  constructor(connection: UpstreamConnection, octets: readonly Buffer[]) {
    super({ allowHalfOpen: false });
    this.#waiting = [...octets];
    const socket = connection.handOver((part) => this.#pass(part));
    this.#socket = socket;
    watchResets(this, () => {
      this.isTorn = true;
    });
    const heads = new AnswerHeads();
    heads.expect();
    readThrough(this, heads);
    socket.prependListener("end", () => {
      if (wasReset(socket)) this.destroy(socket.errored ?? undefined);
      else this.#pass(null);
    });
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => {
      // Cut by ourselves: an answer of unknown length would seem to have come to its end.
      if (!socket.readableEnded) this.destroy(new Error("the connection was cut before the answer's end"));
      else if (this.readableEnded) this.destroy();
    });
  }

  begin(): void {}

  /** It ends with this answer in any case. */
  spoil(): void {}
  bind(): void {}

  override _read(): void {
    this.#socket.resume();
  }

  override _write(_chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const part of waiting ?? []) this.#pass(part);
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }

  #pass(part: Buffer | null): void {
    if (this.#waiting !== undefined) this.#waiting.push(part);
    else if (!this.destroyed && !this.readableEnded && !this.push(part)) this.#socket.pause();
  }
}
