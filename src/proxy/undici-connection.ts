import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Client, type Dispatcher } from "undici";
import { AnswerHeads } from "./answer-heads.js";
import { watchResets } from "./undici-resets.js";
import { type Connect, connectPauseMs } from "./upstream-connect.js";

/** What every client of undici is made with. */
export const clientOptions = {
  pipelining: 1,
  allowH2: false,
  // Deadlines are kept by the caller, who knows which part of the call it is in.
  headersTimeout: 0,
  bodyTimeout: 0,
  maxHeaderSize: 64 * 1024,
} as const;

/** The connection that a call was sent over, as far as the call has a say in it. */
export interface CallConnection {
  /** Ended by an error. undici takes a reset for the end of a response without a length. */
  readonly isTorn: boolean;
  /** How many requests it has carried, with this one from `begin` on. */
  readonly requests: number;
  /** Some of the answer, of whatever kind, has arrived. */
  readonly hasAnswered: boolean;
  /** The request is written from here on. */
  begin(): void;
  /** It ends with this call. */
  spoil(): void;
  /** From here on only the call's own client may send over it. */
  bind(): void;
}

/** As undici takes it; what concerns the connection is filled in by it. */
export type UndiciRequest = Dispatcher.DispatchOptions & { servername?: string; reset?: boolean };

/** A handler of undici's for one request, with what choosing a connection for it takes. */
export interface UndiciCall extends Dispatcher.DispatchHandler {
  /** It does not want to be sent any more. */
  readonly isOver: boolean;
  /** The client's connection. */
  readonly owner: Socket | undefined;
  /** Its request authenticates the connection it is sent over. */
  readonly isBound: boolean;
  /** Not over a connection that was used before. */
  readonly needsNew: boolean;
  /** Asked when no connection could be made. */
  mayConnectAgain(): boolean;
  connection: CallConnection | undefined;
  /** Called when its request is over, or, before it was sent, given up; perhaps more than once. */
  onOver: (isComplete: boolean) => void;
}

export interface UndiciConnectionOptions {
  readonly origin: string;
  readonly connect: Connect;
  readonly keepAliveMs: number;
  /** A connection for each request, but for those that belong to a client. */
  readonly keepsNothing: boolean;
  /** For undici, which compares it with the request's: constant, or the connection would be closed. */
  readonly serverName: string;
}

/**
 * One connection to an upstream, as a client of undici's that never has another one at the same time.
 *
 * Nothing is sent twice: undici re-sends what it pipelines, and what it believes to be idempotent, so it never pipelines
 * here, and every request is declared as not idempotent.
 */
export class UndiciConnection implements CallConnection {
  isTorn = false;
  isBusy = false;
  /** The one client whose requests may be sent over it. */
  owner: Socket | undefined;
  readonly #client: Client;
  readonly #heads = new AnswerHeads();
  #socket: Socket | undefined;
  #call: UndiciCall | undefined;
  #requests = 0;
  #bytesBefore = 0;
  #isSpoiled = false;

  constructor(
    private readonly options: UndiciConnectionOptions,
    private readonly wantsOwner: (connection: UndiciConnection, owner: Socket | undefined) => void,
    private readonly closed: (connection: UndiciConnection) => void,
  ) {
    this.#client = new Client(options.origin, {
      ...clientOptions,
      keepAliveTimeout: options.keepAliveMs,
      keepAliveMaxTimeout: options.keepAliveMs,
      // Called again where the connection was closed before the request was written.
      connect: (_options, callback) => this.#connect(1, callback as Callback),
    });
  }

  get isReusable(): boolean {
    return !this.#isSpoiled && this.#socket?.writable === true;
  }

  get requests(): number {
    return this.#requests;
  }

  get hasAnswered(): boolean {
    return (this.#socket?.bytesRead ?? 0) > this.#bytesBefore;
  }

  send(request: UndiciRequest, call: UndiciCall): void {
    this.isBusy = true;
    this.#call = call;
    call.connection = this;
    request.servername = this.options.serverName;
    // undici ends the connection with a HEAD, and a handshake of several requests would never come to its end.
    if (this.owner !== undefined) request.reset ??= false;
    else if (this.options.keepsNothing) request.reset = true;
    this.#client.dispatch(request, call);
  }

  begin(): void {
    this.#requests++;
    this.#bytesBefore = this.#socket?.bytesRead ?? 0;
    this.#heads.expect();
  }

  spoil(): void {
    this.#isSpoiled = true;
  }

  bind(): void {
    this.wantsOwner(this, this.#call?.owner);
  }

  /** Its request is over. */
  rest(): void {
    this.isBusy = false;
    this.#call = undefined;
  }

  destroy(): void {
    this.#isSpoiled = true;
    void this.#client.destroy();
  }

  #connect(attempts: number, callback: Callback): void {
    this.#requests = 0;
    this.options.connect((error, socket) => {
      if (socket !== null) return callback(null, this.#meet(socket));
      if (this.#isSpoiled || this.#call?.mayConnectAgain() !== true) return callback(error, null);
      setTimeout(() => this.#connect(attempts + 1, callback), connectPauseMs(attempts));
    });
  }

  #meet(socket: Socket): Socket {
    this.#socket = socket;
    this.isTorn = false;
    watchResets(socket, () => {
      this.isTorn = true;
    });
    socket.on("close", () => {
      if (this.#socket === socket && !this.isBusy) this.closed(this);
    });
    readThrough(socket, this.#heads);
    return socket;
  }
}

type Callback = (error: Error | null, socket: Socket | null) => void;

/** undici (7.30) takes what has arrived with `read()`, in each `readable` event until there is nothing more. */
export function readThrough(socket: Duplex, heads: AnswerHeads): void {
  const read = socket.read.bind(socket) as (size?: number) => Buffer | null;
  socket.read = (size) => {
    const part = read(size);
    return part === null ? null : heads.pass(part);
  };
}
