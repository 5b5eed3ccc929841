import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Backlog } from "./backlog.js";
import { hasBody } from "./body.js";
import { closeGently } from "./close-gently.js";

/** A request whose turn it is on its connection. */
export interface Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Its client waits for a 100 (Continue) before it sends the body. */
  readonly mustContinue: boolean;
  /** Its body is wanted whole before anything is done: all of it has one time limit. */
  isReadWhole: boolean;
}

/**
 * A client's connection that node's server reads. Requests run one after the other: a request is given to node's parser
 * when the one before has been answered, and what comes behind the last one is not read at all (RFC 9112 §9.3.2, §9.6).
 */
export class ClientConnection {
  readonly #backlog: Backlog;
  #turn: Turn | undefined;
  /** Of the declared body of this turn's request, still to be read. */
  #bodyBytes = 0;
  /** Nothing behind the request whose turn it is will be begun. */
  #isLast = false;
  #endsAfterNext = false;
  /** Some of the next request's head has been parsed. */
  #isInHead = false;
  /** We pause it, as enough waits. */
  #isPaused = false;
  /** When this turn's request began to be read, or its client was last seen to send or to be held up, ms. */
  #turnMs = 0;
  #heardMs = 0;
  #hasHeard = false;

  constructor(
    readonly socket: Socket,
    /** Gives bytes to node's parser. */
    private readonly parse: (bytes: Buffer) => void,
    /** What comes cannot be a request. */
    private readonly unreadable: () => void,
    maxWaiting: number,
  ) {
    this.#backlog = new Backlog(maxWaiting);
    socket.on("resume", this.#onResume);
  }

  readonly #onResume = () => this.#advance();

  get isIdle(): boolean {
    return this.#turn === undefined;
  }

  receive(bytes: Buffer): void {
    if (this.#isLast && (this.#turn === undefined || this.#turn.request.complete)) return;
    this.#hasHeard = true;
    this.#backlog.add(bytes);
    this.#advance();
    if (this.#backlog.bytes > 0 && !this.socket.isPaused() && this.#backlog.isFull) {
      this.#isPaused = true;
      this.socket.pause();
    }
  }

  /** One more request, if all of its head is there; the connection ends with its answer. */
  receiveLast(bytes: Buffer): void {
    this.#endsAfterNext = true;
    this.receive(bytes);
    if (this.#turn === undefined) this.endWhenAnswered();
  }

  /** `false`: it is not to be begun. */
  enter(turn: Turn): boolean {
    // No byte behind a message is given to the parser before its turn.
    if (this.#turn !== undefined || this.#isLast) return false;
    const { request, response } = turn;
    this.#turn = turn;
    this.#isInHead = false;
    this.#bodyBytes = hasBody(request) ? Number(request.headers["content-length"] ?? 0) : 0;
    this.#turnMs = this.#heardMs = performance.now();
    response.on("close", () => this.#end(turn));
    if (this.#endsAfterNext) this.endWhenAnswered();
    return true;
  }

  /** The connection ends with the answer it is owed, at once if it is owed none. */
  endWhenAnswered(): void {
    this.#isLast = true;
    if (this.#turn === undefined) closeGently(this.socket);
    else if (!this.#turn.response.headersSent) this.#turn.response.shouldKeepAlive = false;
  }

  /** How its request can still be refused, when the parser does not accept what comes. */
  broken(): "refuse" | "ignore" | "destroy" {
    const turn = this.#turn;
    if (turn === undefined) return "refuse";
    // What is broken stands behind an answer that ends the connection.
    if (this.#isLast || turn.request.complete || turn.response.writableEnded) return "ignore";
    return turn.response.headersSent ? "destroy" : "refuse";
  }

  /** Something else is spoken on it from here on. Returns what was read and not parsed. */
  leave(): Buffer {
    this.socket.off("resume", this.#onResume);
    this.#isLast = true;
    return this.#backlog.take(this.#backlog.bytes);
  }

  /** Whether its client takes longer with its request than it may. */
  isLate(nowMs: number, limitMs: number): boolean {
    const turn = this.#turn;
    if (turn === undefined || turn.request.complete || turn.response.writableEnded) return false;
    // While nothing is read of it, its client can do nothing about it.
    if (this.#hasHeard || this.socket.isPaused()) this.#heardMs = nowMs;
    this.#hasHeard = false;
    return nowMs - (turn.isReadWhole ? this.#turnMs : this.#heardMs) > limitMs;
  }

  #advance(): void {
    const { socket } = this;
    while (this.#backlog.bytes > 0 && !socket.isPaused() && !socket.destroyed) {
      const bytes = this.#next();
      if (bytes === undefined) return;
      this.parse(bytes);
    }
  }

  #next(): Buffer | undefined {
    const turn = this.#turn;
    if (turn === undefined) {
      if (!this.#isLast && this.socket.writable) return this.#nextHead();
      this.#backlog.clear();
      return undefined;
    }
    if (turn.request.complete) return undefined;
    if (this.#bodyBytes === 0) return this.#backlog.takeToEmptyLine();
    const bytes = this.#backlog.take(this.#bodyBytes);
    this.#bodyBytes -= bytes.length;
    return bytes;
  }

  #nextHead(): Buffer | undefined {
    const backlog = this.#backlog;
    if (this.#isInHead) return this.#takeHead();
    if (!backlog.skipEmptyLines()) {
      this.#isLast = true;
      backlog.clear();
      this.unreadable();
      return undefined;
    }
    if (backlog.bytes === 0 || backlog.isHalfLine) return undefined;
    return this.#takeHead();
  }

  #takeHead(): Buffer {
    this.#isInHead = true;
    return this.#backlog.takeToEmptyLine();
  }

  #end({ request, response }: Turn): void {
    this.#turn = undefined;
    if (!response.shouldKeepAlive || !request.complete) this.#isLast = true;
    if (this.#isLast) {
      this.#backlog.clear();
      closeGently(this.socket);
      return;
    }
    // Not from within the answer before: a row of requests that came at once would be one deep call.
    if (this.#backlog.bytes > 0) setImmediate(() => this.#goOn());
  }

  #goOn(): void {
    if (this.#isPaused) {
      this.#isPaused = false;
      this.socket.resume();
    }
    this.#advance();
    if (this.#backlog.bytes > 0 && this.#backlog.isFull && !this.socket.isPaused()) {
      this.#isPaused = true;
      this.socket.pause();
    }
  }
}
