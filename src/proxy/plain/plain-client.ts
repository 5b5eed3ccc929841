import { type IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Backlog } from "../backlog.js";
import { ByteCollector } from "../byte-collector.js";
import { closeGently } from "../close-gently.js";
import { WriteProgress } from "../write-progress.js";
import { type PlainRequest, readPlainRequest } from "./plain-request.js";
import { writeMessage } from "./write-message.js";

/** Whoever answers plain requests. */
export interface PlainDoor<Admitted> {
  /** Looks at a head. `undefined`: the full parser shall have the request, and the connection with it. */
  admit(client: PlainClient<Admitted>, request: PlainRequest): Admitted | undefined;
  /** Begins to answer a request whose body is there. `false`, and nothing has been done: the full parser shall have it. */
  begin(client: PlainClient<Admitted>, admitted: Admitted, body: Buffer): boolean;
  /** May so many bytes of a body be held? They are given back with `give`. */
  take(bytes: number): boolean;
  give(bytes: number): void;
  /** The connection is the full parser's from here on; `octets` have been read from it already. */
  leave(socket: Socket, octets: Buffer): void;
}

/** What whoever answers wants to hear of its client. */
export interface Listener {
  /** Called once: everything was handed to the system, or the client is gone. */
  closed(isWhole: boolean): void;
}

/**
 *     idle ──head──▶ receiving ──body──▶ answering ──answer──▶ flushing ──▶ idle
 *       └──────────────────────────┴─▶ left to the full parser, before anything was done
 */
type Phase = "idle" | "receiving" | "answering" | "flushing" | "left";

const maxHeadBytes = 33 * 1024;

/**
 * A client's connection, for as long as all it sends is of the plain form: no library stands between its octets and the
 * gateway. The first request that is odd in any way, or not for the protected lane, goes to node's server with the
 * connection, untouched.
 */
export class PlainClient<Admitted> {
  #phase: Phase = "idle";
  /** When it became idle, or began to receive, by the monotonic clock: in no other phase does its time run. */
  sinceMs = performance.now();
  hasAsked = false;
  /** Of its other end. Asked once: node makes a long way of it. */
  readonly address: string | undefined;
  readonly progress = new WriteProgress();
  readonly #backlog: Backlog;
  #body: { readonly admitted: Admitted; readonly parts: ByteCollector; readonly bodyAt: number } | undefined;
  #wantedBytes = 0;
  #heldBytes = 0;
  #listener: Listener | undefined;
  #isEnding = false;
  readonly #onData = (octets: Buffer) => this.#receive(octets);
  readonly #onEnd = () => this.socket.end();
  readonly #onError = () => {};
  readonly #onClose = () => this.#close();
  /** Also of what was taken at once. `drain` would not do: it tells of no answer that is smaller than the buffer. */
  readonly #onWritten = (error?: Error | null) => {
    if (!error) this.#drained();
  };

  constructor(
    readonly socket: Socket,
    private readonly door: PlainDoor<Admitted>,
    private readonly gone: (client: PlainClient<Admitted>) => void,
    private readonly keepAlive: string,
    /** Requests that may wait for their turn; with more the connection is not read. */
    maxWaiting: number,
  ) {
    this.#backlog = new Backlog(maxWaiting);
    this.address = socket.remoteAddress;
    socket.on("data", this.#onData).on("end", this.#onEnd).on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** The connection ends with the answer it is owed, at once if it is owed none. A request that has begun is owed one. */
  endWhenAnswered(): void {
    this.#isEnding = true;
    if (this.#phase === "idle") closeGently(this.socket);
  }

  /** Nothing that still comes is read. The connection is the caller's to end. */
  abandon(): void {
    this.free();
    this.#detach();
    this.socket.on("error", () => {}).resume();
    this.#tell(false);
  }

  /** Told what becomes of the request that is admitted, unless it is left to the full parser. */
  listen(listener: Listener): void {
    this.#listener = listener;
  }

  /** `head` without the fields about the connection and the empty line. */
  answer(head: string, body: Buffer): void {
    const { socket } = this;
    if (!socket.writable || this.#phase !== "answering") return;
    this.#enter("flushing");
    const start = head + (this.#isEnding ? "Connection: close\r\n\r\n" : this.keepAlive);
    writeMessage(socket, start, body, this.#onWritten);
    this.#drained();
  }

  /** For an answer that node has to write: streamed, or with trailers. */
  answerByNode<Sent>(method: string, write: (response: ServerResponse) => Sent): Sent {
    const { socket } = this;
    const request = { method, httpVersionMajor: 1, httpVersionMinor: 1, headers: {}, complete: true };
    const response = new ServerResponse(request as unknown as IncomingMessage);
    if (this.#isEnding) response.shouldKeepAlive = false;
    // Or nobody would tell it that its client is gone, and a stream would wait for its reader without end.
    if (socket.destroyed) response.destroy();
    else response.assignSocket(socket);
    response.on("error", () => {});
    const onDrain = () => response.emit("drain");
    socket.on("drain", onDrain);
    response.on("finish", () => {
      socket.off("drain", onDrain);
      response.detachSocket(socket);
      if (!response.shouldKeepAlive) this.#isEnding = true;
      this.#enter("flushing");
      this.#drained();
    });
    return write(response);
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    if (phase === "idle" || phase === "receiving") this.sinceMs = performance.now();
  }

  #receive(octets: Buffer): void {
    // The connection ends: what still comes is not begun.
    if (!this.socket.writable) return;
    if (this.#phase === "receiving") return this.#collect(octets);
    if (this.#phase === "idle" && this.#backlog.bytes === 0) return this.#read(octets);
    this.#backlog.add(octets);
    if (this.#phase === "idle") this.#read(this.#backlog.take(this.#backlog.bytes));
    else if (this.#backlog.isFull) this.socket.pause();
  }

  #read(octets: Buffer): void {
    const request = readPlainRequest(octets.toString("latin1", 0, maxHeadBytes));
    const admitted = request && this.door.admit(this, request);
    if (request === undefined || admitted === undefined) return this.#leave(octets);
    const { bodyAt, bodyBytes } = request;
    const end = bodyAt + bodyBytes;
    if (octets.length >= end) {
      if (!this.#hold(bodyBytes)) return this.#leave(octets);
      if (octets.length > end) this.#backlog.add(octets.subarray(end));
      this.#begin(admitted, octets.subarray(bodyAt, end), octets);
      return;
    }
    if (!this.#hold(octets.length - bodyAt)) return this.#leave(octets);
    this.#enter("receiving");
    this.#wantedBytes = end;
    const parts = new ByteCollector();
    parts.add(octets);
    this.#body = { admitted, parts, bodyAt };
  }

  #collect(octets: Buffer): void {
    const body = this.#body!;
    body.parts.add(octets);
    const { bytes } = body.parts;
    const end = this.#wantedBytes;
    const held = this.#hold(octets.length - Math.max(0, bytes - end));
    if (held && bytes < end) return;
    const all = body.parts.take();
    this.#body = undefined;
    if (!held) return this.#leave(all);
    if (all.length > end) this.#backlog.add(all.subarray(end));
    this.#begin(body.admitted, all.subarray(body.bodyAt, end), all);
  }

  #begin(admitted: Admitted, body: Buffer, all: Buffer): void {
    this.#enter("answering");
    this.hasAsked = true;
    if (!this.door.begin(this, admitted, body)) {
      this.#backlog.clear();
      this.#leave(all);
    }
  }

  #hold(bytes: number): boolean {
    if (!this.door.take(bytes)) return false;
    this.#heldBytes += bytes;
    return true;
  }

  /** The body is not needed any more. */
  free(): void {
    if (this.#heldBytes > 0) this.door.give(this.#heldBytes);
    this.#heldBytes = 0;
  }

  /** An answer was written; what of it the system has not taken yet is waited for. */
  #drained(): void {
    if (this.#phase !== "flushing" || this.socket.destroyed || this.socket.writableLength > 0) return;
    this.#enter("idle");
    this.#tell(true);
    if (this.#isEnding) return closeGently(this.socket);
    if (this.#backlog.bytes === 0) return;
    // Not from within the answer before: a row of requests that came at once would be one deep call.
    setImmediate(() => this.#resume());
  }

  #resume(): void {
    if (this.#phase !== "idle" || this.#backlog.bytes === 0 || !this.socket.writable) return;
    this.#read(this.#backlog.take(this.#backlog.bytes));
    if (this.phase === "left" || this.#backlog.isFull) return;
    if (this.socket.isPaused()) this.socket.resume();
  }

  #tell(isWhole: boolean): void {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.closed(isWhole);
  }

  #close(): void {
    if (this.#phase === "left") return;
    if (this.#phase === "receiving") this.free();
    this.gone(this);
    this.#tell(false);
  }

  #leave(octets: Buffer): void {
    this.free();
    this.#listener = undefined;
    this.#detach();
    this.door.leave(this.socket, octets);
  }

  #detach(): void {
    const { socket } = this;
    this.#enter("left");
    socket.off("data", this.#onData).off("end", this.#onEnd).off("error", this.#onError);
    socket.off("close", this.#onClose);
    this.gone(this);
  }
}
