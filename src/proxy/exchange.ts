import type { Socket } from "node:net";
import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import type { Outcome, StreamedResponse } from "../model.js";
import { bindsConnection } from "../rules/connection-bound.js";
import { headerValue } from "../rules/headers.js";
import { hasUnexpectedBody } from "../rules/request-body.js";
import { isBodiless, mayNotHaveContent } from "../rules/response-body.js";
import { responseHeaders } from "../rules/response-headers.js";
import { isStream } from "../rules/streams.js";
import { ByteCollector } from "./byte-collector.js";
import { type CallTimes, callTimer, mayTryAgain, sentTimer } from "./call-times.js";
import { ResponseStream } from "./response-stream.js";
import type { CallConnection, UndiciCall, UndiciRequest } from "./undici-connection.js";
import { Upload } from "./upload.js";

/** Whatever takes a request: a pool, a single connection. */
export interface Dispatching {
  dispatch(request: UndiciRequest, call: UndiciCall): unknown;
}

/** A request as it goes upstream. */
export interface Dispatch extends CallTimes {
  readonly origin: string;
  readonly method: string;
  /** Origin-form, as the client sent it. */
  readonly target: string;
  readonly headers: string[];
  readonly body: Buffer | Readable | null;
  /** What is larger is streamed; below 0 everything is, but what `gatherBytes` allows. */
  readonly maxStoredBytes: number;
  /** `Content-Type` of what is streamed whatever its size; absent where everything is. */
  readonly streamPattern?: RegExp;
  /** Asked right before the first octet is written: with `false` none is. */
  readonly mayBeSent?: () => boolean;
  /** The client's connection, and whether this request authenticates the one it is sent over (`bindsConnection`). */
  readonly owner?: Socket;
  readonly isBound?: boolean;
  /** Safe, and without a body: sent once more where a connection that was used before breaks without a word. */
  readonly mayRepeat?: boolean;
  /** An interim answer, 101 apart. */
  readonly interim?: (status: number, headers: string[]) => void;
}

/**
 * A streamed answer of a declared length up to this, which is there whole in the turn of the event loop that brought its
 * head, is handed on whole: no stream is made for it, and nobody waits longer for its first byte.
 */
const gatherBytes = 16 * 1024;

/** How long a stream without a client is read on: this many times the silence that is allowed, and never longer than an hour. */
const readOnTimeouts = 20;
const longestReadOnMs = 60 * 60 * 1000;

/**
 * One call, never repeated. Nobody's connection can stop it: it ends with the upstream's answer, an error or the timeout.
 *
 *     queued ──onConnect──▶ sent ──onHeaders──▶ answering ──▶ answered
 *        │                   │                     └─too large, or a stream─▶ streamed
 *      unsent            unanswered
 *
 * undici calls `onConnect` right before the first byte is written: what fails earlier was never sent, and the error's
 * code does not matter (ECONNRESET occurs on both sides of that line).
 */
export function exchange(pool: Dispatching, dispatch: Dispatch): Promise<Outcome> {
  return new Promise((resolve) => {
    openCall(pool, dispatch, resolve);
  });
}

/** How far a call is before it is begun, and what becomes of its connection. */
export interface CallState {
  /** Some of it is on its way, so that whatever fails has perhaps been carried out. */
  readonly isSent: boolean;
  /** Its connection is not used again. */
  readonly isLast: boolean;
}

/** The same for the unprotected lane, where a client that leaves takes its call along. Returns the way to stop it. */
export function openCall(
  pool: Dispatching,
  dispatch: Dispatch,
  done: (outcome: Outcome) => void,
  { isSent, isLast }: CallState = { isSent: false, isLast: false },
): () => void {
  const call = new Call(pool, dispatch, done, isSent);
  call.send(isLast);
  return () => call.cancel();
}

export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
  readonly code = "TIMEOUT";
}

/** Held up for so long that it may not be sent any more. */
export function late(): Outcome {
  return { kind: "unsent", error: new LateError(), isLate: true };
}

class LateError extends Error {
  override readonly name = "LateError";
  readonly code = "LATE";

  constructor() {
    super("the lease would not have lasted until the request arrived");
  }
}

/** undici's handler interface without the wrapping that would parse every header into an object first. */
class Call implements UndiciCall {
  onOver: (isComplete: boolean) => void = () => {};
  connection: CallConnection | undefined;
  needsNew = false;
  #isSent: boolean;
  #isOver = false;
  #abort: ((error?: Error) => void) | undefined;
  #timer: NodeJS.Timeout;
  readonly #begunMs: number;
  #head: { status: number; reason: string; headers: string[] } | undefined;
  #isLengthKnown = false;
  #resume: () => void = () => {};
  readonly #collected = new ByteCollector();
  #stream: ResponseStream | undefined;
  #gathering: NodeJS.Immediate | undefined;

  constructor(
    private readonly pool: Dispatching,
    private readonly dispatch: Dispatch,
    private readonly done: (outcome: Outcome) => void,
    isSent: boolean,
  ) {
    this.#isSent = isSent;
    this.#begunMs = dispatch.retryUnsentMs ? performance.now() : 0;
    this.#timer = callTimer(() => this.#expire(), dispatch);
  }

  send(isLast: boolean): void {
    const { origin, target, method, headers, body } = this.dispatch;
    const request: UndiciRequest = {
      origin,
      path: target,
      method: method as Dispatcher.HttpMethod,
      headers,
      body,
      idempotent: false,
    };
    if (isLast || hasUnexpectedBody(method, body !== null)) request.reset = true;
    try {
      this.pool.dispatch(request, this);
    } catch (error) {
      this.onError(error as Error);
    }
  }

  get owner(): Socket | undefined {
    return this.dispatch.owner;
  }

  get isBound(): boolean {
    return this.dispatch.isBound === true;
  }

  mayConnectAgain(): boolean {
    return !this.#isOver && mayTryAgain(this.dispatch, this.#begunMs);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  onConnect(abort: (error?: Error) => void): void {
    // The deadline passed while it was queued: given up, so it must not be sent any more.
    if (this.#isOver) return abort();
    if (!this.#isSent && this.dispatch.mayBeSent?.() === false) {
      this.#end(late());
      return abort();
    }
    this.#abort = abort;
    if (!this.#isSent) this.#timer = sentTimer(this.#timer, () => this.#expire(), this.dispatch);
    this.#isSent = true;
    this.connection?.begin();
  }

  onHeaders(status: number, rawHeaders: Buffer[], resume: () => void, reason: string): boolean {
    const raw = rawHeaders.map(latin1);
    if (status < 200) {
      this.dispatch.interim?.(status, responseHeaders(raw));
      return true;
    }
    if (bindsConnection(raw)) this.connection?.bind();
    const { method, maxStoredBytes, streamPattern } = this.dispatch;
    const hasNoBody = method === "HEAD" || isBodiless(status);
    this.#isLengthKnown = hasNoBody || isDelimited(raw);
    this.#head = { status, reason: octetsOf(reason), headers: responseHeaders(raw) };
    const length = headerValue(raw, "content-length");
    const declaredBytes = Number(length ?? 0);
    // It may come late, and the next answer could not be told from it.
    if (mayNotHaveContent(status) && declaredBytes > 0) this.connection?.spoil();
    this.#resume = resume;
    // There is nothing to pass on part by part, whatever its fields say.
    if (hasNoBody || (length !== undefined && declaredBytes === 0)) return true;
    const isStreamed = streamPattern !== undefined && isStream(raw, streamPattern);
    if (!isStreamed && declaredBytes <= maxStoredBytes) return true;
    if (maxStoredBytes < 0 && this.#isLengthKnown && declaredBytes <= gatherBytes) {
      this.#gathering = setImmediate(() => this.#startStream());
      return true;
    }
    this.#startStream();
    return false;
  }

  /** A client that takes its time to send is not the upstream's silence. */
  onBodySent(): void {
    if (this.dispatch.body instanceof Readable) this.#timer.refresh();
  }

  onData(chunk: Buffer): boolean {
    if (this.#stream !== undefined) {
      this.#timer.refresh();
      return this.#stream.push(chunk);
    }
    this.#collected.add(chunk);
    if (this.#gathering !== undefined || this.#collected.bytes <= this.dispatch.maxStoredBytes) return true;
    this.#startStream();
    return false;
  }

  /** `onOver` comes last: an error in it must not change this call's outcome. */
  onComplete(trailers: string[] | null): void {
    try {
      this.#complete(trailers);
    } finally {
      this.onOver(true);
    }
  }

  onError(error: Error): void {
    if (this.#maySendAgain()) {
      this.onOver(false);
      this.send(false);
      return;
    }
    try {
      this.#fail(error);
    } finally {
      this.onOver(false);
    }
  }

  /**
   * A connection that was used before may have ended while the request was on its way to it. What was not written is
   * sent over a new one; what was, only where nothing can come of it.
   */
  #maySendAgain(): boolean {
    const { connection, dispatch } = this;
    if (this.#isOver || this.needsNew || connection === undefined) return false;
    const isRepeat = this.#isSent;
    if (isRepeat && (dispatch.mayRepeat !== true || connection.requests < 2 || connection.hasAnswered)) return false;
    if (!isRepeat && connection.requests === 0) return false;
    if (isRepeat) dispatch.retries?.();
    this.needsNew = true;
    this.#isSent = false;
    this.#abort = undefined;
    return true;
  }

  #complete(trailers: string[] | null): void {
    // Torn off: without a declared length nobody can know whether this was all.
    if (this.connection?.isTorn === true && !this.#isLengthKnown)
      return this.#fail(new Error("the connection was reset before the answer's end"));
    clearTimeout(this.#timer);
    const pairs = (trailers ?? []).map((part) => latin1(part as unknown as Buffer));
    if (this.#stream === undefined) return this.#answer(pairs);
    this.#stream.trailers.push(...pairs);
    this.#stream.push(null);
  }

  #fail(error: Error): void {
    clearTimeout(this.#timer);
    // RFC 9110 §8.6: these may declare the length of a body that they do not have. undici calls that a mismatch.
    const hasNoBody = this.#head !== undefined && isBodiless(this.#head.status);
    const isWhole = hasNoBody && (error as { code?: string }).code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH";
    if (this.#stream !== undefined) {
      if (isWhole) this.#stream.push(null);
      else this.#stream.destroy(error);
      return;
    }
    if (isWhole) return this.#answer([]);
    this.#end(this.#isSent ? { kind: "unanswered", error, cause: "reset" } : { kind: "unsent", error });
  }

  cancel(): void {
    clearTimeout(this.#timer);
    const error = new Error("given up by its client");
    this.#end(this.#isSent ? { kind: "unanswered", error, cause: "reset" } : { kind: "unsent", error });
    this.#abort?.(error);
  }

  #answer(trailers: string[]): void {
    if (this.#head === undefined)
      return this.#end({ kind: "unanswered", error: new Error("no answer"), cause: "reset" });
    this.#end({ kind: "answered", response: { ...this.#head, body: this.#collected.take(), trailers } });
  }

  #startStream(): void {
    const head = this.#head;
    if (head === undefined || this.#isOver) return;
    clearImmediate(this.#gathering);
    this.#gathering = undefined;
    this.#timer.refresh();
    const { timeoutMs } = this.dispatch;
    const wantMore = () => {
      // The time that the client took is not the upstream's silence.
      this.#timer.refresh();
      this.#resume();
    };
    const maxReadOnMs = Math.min(timeoutMs * readOnTimeouts, longestReadOnMs);
    const stream = new ResponseStream(wantMore, () => this.#abort?.(), maxReadOnMs);
    this.#stream = stream;
    for (const part of this.#collected.takeParts()) stream.push(part);
    stream.hold();
    const response: StreamedResponse = { ...head, body: stream, trailers: stream.trailers };
    this.#end({ kind: "streamed", response });
  }

  #expire(): void {
    // A client that takes its time to read, or to send, is not the upstream's silence.
    const { body } = this.dispatch;
    if (this.#stream?.isHeld || (this.#isSent && body instanceof Upload && body.isWaiting)) {
      this.#timer.refresh();
      return;
    }
    const error = new TimeoutError(`no complete answer within ${this.dispatch.timeoutMs} ms`);
    if (this.#stream === undefined) {
      this.#end(this.#isSent ? { kind: "unanswered", error, cause: "timeout" } : { kind: "unsent", error });
    }
    this.#abort?.(error);
  }

  #end(outcome: Outcome): void {
    if (this.#isOver) return;
    if (this.#gathering !== undefined) clearImmediate(this.#gathering);
    this.#isOver = true;
    // Given up before it was sent: it does not wait for a connection any more.
    if (outcome.kind === "unsent") this.onOver(false);
    this.done(outcome);
  }
}

/** Whether the end of the body can be told from the end of the connection (RFC 9112 §6.3). */
function isDelimited(raw: readonly string[]): boolean {
  return headerValue(raw, "content-length") !== undefined || headerValue(raw, "transfer-encoding") !== undefined;
}

/**
 * A reason phrase as it was on the wire. undici decodes it as UTF-8; what was none cannot be had back, and what node
 * would not write is better left out: it means nothing to programs (RFC 9112 §4).
 */
function octetsOf(reason: string): string {
  if (/^[\t\x20-\x7e]*$/.test(reason)) return reason;
  const octets = Buffer.from(reason).toString("latin1");
  return reason.includes("\ufffd") || !/^[\t\x20-\x7e\x80-\xff]*$/.test(octets) ? "" : octets;
}

function latin1(bytes: Buffer): string {
  return bytes.toString("latin1");
}
