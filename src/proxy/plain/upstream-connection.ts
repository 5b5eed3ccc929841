import { connect, type Socket } from "node:net";
import { ByteCollector } from "../byte-collector.js";
import { type PlainHead, readPlainChunks, readPlainHead } from "./plain-response.js";
import { writeMessage } from "./write-message.js";

/** What a connection has made of the answer to a request. */
export type PlainAnswer =
  | { readonly kind: "whole"; readonly head: PlainHead; readonly body: Buffer }
  /** These octets have arrived, and somebody else has to read them and what follows. */
  | { readonly kind: "odd"; readonly octets: readonly Buffer[] }
  | { readonly kind: "broken"; readonly error: Error };

/** Which answers are collected until they are whole: all others are odd. */
export interface WholeAnswers {
  readonly maxBodyBytes: number;
  readonly streamPattern?: RegExp | undefined;
}

/** A request as it is written. */
export interface Message extends WholeAnswers {
  readonly head: string;
  readonly body: Buffer;
  /** The connection is not used again. */
  readonly isLast: boolean;
}

export interface UpstreamAddress {
  readonly host: string;
  readonly port: number;
}

/** Told once, before anything is sent. */
type Connected = (error: Error | undefined) => void;

/** What is read at once. */
const readBytes = 32 * 1024;
/** A body in chunks that has not arrived whole by then is left to the full parser. */
const maxChunkedLength = 64 * 1024;

interface Arriving {
  readonly head: PlainHead;
  readonly body: ByteCollector;
  missingBytes: number;
}

/**
 * One connection to an upstream: a request, its answer, the next request. What arrives is read where it lies, so that an
 * answer of the plain form costs one read, one string and one copy of its body.
 */
export class UpstreamConnection {
  /** While it waits for an answer. */
  #answered: ((answer: PlainAnswer) => void) | undefined;
  #maxBodyBytes = 0;
  #streamPattern: RegExp | undefined;
  #text = "";
  #octets: Buffer[] = [];
  /** An answer whose body comes in several reads. */
  #arriving: Arriving | undefined;
  #mayBeKept = true;
  #rest: ((octets: Buffer) => void) | undefined;
  readonly #socket: Socket;
  /** Since when it has been idle, by the caller's clock; and until when it may be used again. */
  idleUntilMs = 0;
  /** For the pool: it has a seat, because it is in use. */
  isSeated = false;

  constructor(address: UpstreamAddress, connectTimeoutMs: number, connected: Connected, closed: () => void) {
    const socket = connect({
      ...address,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      onread: {
        buffer: Buffer.allocUnsafeSlow(readBytes),
        callback: (bytes, buffer) => {
          this.#read(buffer as Buffer, bytes);
          return true;
        },
      },
    });
    this.#socket = socket;
    let failure: Error | undefined;
    let isConnected = false;
    const timer = setTimeout(() => socket.destroy(new ConnectTimeout(connectTimeoutMs)), connectTimeoutMs);
    socket.once("connect", () => {
      isConnected = true;
      clearTimeout(timer);
      connected(undefined);
    });
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("end", () => this.#break(undefined));
    socket.on("close", () => {
      clearTimeout(timer);
      if (!isConnected) connected(failure ?? new Error("the connection was closed before it was made"));
      this.#break(failure);
      closed();
    });
  }

  get isUsable(): boolean {
    return this.#mayBeKept && this.#socket.writable && !this.#socket.destroyed;
  }

  /** The raw connection, for whoever reads an odd answer to its end. `rest` is given all that still arrives. */
  handOver(rest: (octets: Buffer) => void): Socket {
    this.#rest = rest;
    this.#mayBeKept = false;
    return this.#socket;
  }

  /** From here on nobody can know whether the request was carried out until `answered` is called, once. */
  send(message: Message, answered: (answer: PlainAnswer) => void): void {
    this.#answered = answered;
    this.#maxBodyBytes = message.maxBodyBytes;
    this.#streamPattern = message.streamPattern;
    if (message.isLast) this.#mayBeKept = false;
    writeMessage(this.#socket, message.head, message.body);
  }

  /** Whoever waits for an answer is told that it broke off. */
  destroy(): void {
    this.#mayBeKept = false;
    this.#socket.destroy();
  }

  #read(buffer: Buffer, bytes: number): void {
    if (this.#rest !== undefined) return this.#rest(Buffer.from(buffer.subarray(0, bytes)));
    // Nobody asked: what it is the answer to, nobody can tell.
    if (this.#answered === undefined) return this.destroy();
    if (this.#arriving !== undefined) return this.#collect(this.#arriving, buffer, bytes);
    const text = this.#text + buffer.toString("latin1", 0, bytes);
    const head = readPlainHead(text);
    if (head === "odd") return this.#leave(buffer, bytes);
    if (head === "partial") return this.#keep(text, buffer, bytes);
    if (this.#isStream(head)) return this.#leave(buffer, bytes);
    if (head.bodyBytes === "chunked") return this.#readChunks(head, text, buffer, bytes);
    const { bodyAt, bodyBytes } = head;
    if (bodyBytes > this.#maxBodyBytes) return this.#leave(buffer, bytes);
    const end = bodyAt + bodyBytes;
    if (text.length >= end) return this.#finish(head, latin1(text.slice(bodyAt, end)), text.length > end);
    this.#arriving = { head, body: new ByteCollector(), missingBytes: end - text.length };
    this.#arriving.body.add(latin1(text.slice(bodyAt)));
    this.#text = "";
    this.#octets = [];
  }

  #isStream({ bodyBytes, contentType }: PlainHead): boolean {
    return contentType !== undefined && bodyBytes !== 0 && this.#streamPattern?.test(contentType) === true;
  }

  #collect(arriving: Arriving, buffer: Buffer, bytes: number): void {
    const wanted = Math.min(bytes, arriving.missingBytes);
    arriving.body.add(Buffer.from(buffer.subarray(0, wanted)));
    arriving.missingBytes -= wanted;
    if (arriving.missingBytes === 0) this.#finish(arriving.head, arriving.body.take(), bytes > wanted);
  }

  #readChunks(head: PlainHead, text: string, buffer: Buffer, bytes: number): void {
    const chunks = readPlainChunks(text, head.bodyAt);
    const isTooLong =
      text.length > maxChunkedLength || (chunks === "partial" && text.length - head.bodyAt > this.#maxBodyBytes);
    if (chunks === "odd" || isTooLong) return this.#leave(buffer, bytes);
    if (chunks === "partial") return this.#keep(text, buffer, bytes);
    const body = latin1(chunks.parts.map(([from, to]) => text.slice(from, to)).join(""));
    if (body.length > this.#maxBodyBytes) return this.#leave(buffer, bytes);
    this.#finish(head, body, text.length > chunks.end);
  }

  #keep(text: string, buffer: Buffer, bytes: number): void {
    this.#text = text;
    this.#octets.push(Buffer.from(buffer.subarray(0, bytes)));
  }

  #leave(buffer: Buffer, bytes: number): void {
    const octets = [...this.#octets, Buffer.from(buffer.subarray(0, bytes))];
    this.#end({ kind: "odd", octets });
  }

  /**
   * With a surplus the next answer could not be told from it; and an upstream that has answered before it was sent all of
   * the request may never read the rest, nor what comes behind it.
   */
  #finish(head: PlainHead, body: Buffer, hasSurplus: boolean): void {
    if (hasSurplus || head.keptMs === 0 || this.#socket.writableLength > 0) this.#mayBeKept = false;
    this.#end({ kind: "whole", head, body });
    if (!this.#mayBeKept) this.#socket.destroy();
  }

  #break(error: Error | undefined): void {
    this.#mayBeKept = false;
    this.#end({ kind: "broken", error: error ?? new ClosedEarly() });
  }

  #end(answer: PlainAnswer): void {
    const answered = this.#answered;
    this.#answered = undefined;
    this.#text = "";
    this.#octets = [];
    this.#arriving = undefined;
    answered?.(answer);
  }
}

function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

class ConnectTimeout extends Error {
  override readonly name = "ConnectTimeoutError";
  readonly code = "CONNECT_TIMEOUT";

  constructor(timeoutMs: number) {
    super(`no connection within ${timeoutMs} ms`);
  }
}

class ClosedEarly extends Error {
  override readonly name = "ClosedEarlyError";
  readonly code = "ECONNRESET";

  constructor() {
    super("the upstream closed the connection before its answer was complete");
  }
}
