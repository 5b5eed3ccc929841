import type { Socket } from "node:net";
import { queuedBytes } from "./node-parser.js";

/** Whether a client takes what is written to it. Looked at from time to time; there is no event for it. */
export class WriteProgress {
  #queuedBytes = 0;
  #sinceMs = 0;
  #isWaiting = false;

  /** For how long its client has taken no byte of what waits for it, ms; 0 where nothing waits. */
  stalledMs(socket: Socket, nowMs: number): number {
    if (socket.writableLength === 0) {
      this.#isWaiting = false;
      return 0;
    }
    const queued = queuedBytes(socket);
    if (!this.#isWaiting || queued !== this.#queuedBytes) this.#sinceMs = nowMs;
    this.#isWaiting = true;
    this.#queuedBytes = queued;
    return nowMs - this.#sinceMs;
  }
}
