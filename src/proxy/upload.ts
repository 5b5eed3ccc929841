import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";

/**
 * The body of a request on its way upstream. undici destroys the body of a call that is over, and a request that is
 * destroyed is never read to its end: the client would hang on its unsent half, or lose the answer with the connection. So
 * it gets this in the request's place, and what is then left of the body is read and dropped.
 */
export class Upload extends Readable {
  #isReading = false;
  #begun: (() => void) | undefined;
  readonly #onData = (part: Buffer) => {
    if (!this.push(part)) this.request.pause();
    this.#begin();
  };
  /** Node says `close` right behind `end`, while the last of the body may still wait here to be sent. */
  readonly #onEnd = () => {
    this.request.off("close", this.#onClose);
    this.push(null);
    this.#begin();
  };
  readonly #onClose = () => this.destroy(new Error("the client left before its request was whole"));

  constructor(private readonly request: IncomingMessage) {
    super();
    // It may break while it still waits for a connection, before undici listens.
    this.on("error", () => {});
  }

  /** Begins to read; `begun` is called with the first of the body, or with its end: from there on it is worth a connection. */
  start(begun: () => void): void {
    this.#begun = begun;
    this._read();
  }

  /** It has been asked for more than the client has sent. */
  get isWaiting(): boolean {
    return this.#isReading && !this.readableEnded && !this.request.readableEnded && !this.request.isPaused();
  }

  override _read(): void {
    if (!this.#isReading) this.request.on("data", this.#onData).on("end", this.#onEnd).on("close", this.#onClose);
    this.#isReading = true;
    this.request.resume();
  }

  #begin(): void {
    const begun = this.#begun;
    this.#begun = undefined;
    begun?.();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.request.off("data", this.#onData).off("end", this.#onEnd).off("close", this.#onClose);
    this.request.resume();
    callback(error);
  }
}
