import type { Socket } from "node:net";
import { TurnoverMap } from "../turnover.js";

/** Smaller ones are not counted: a connection waits for one answer at a time, and the system takes that much at once. */
const minCountedBytes = 16 * 1024;

/**
 * The answers that clients have not taken yet. Beyond the limit the connections that have waited longest are cut: what
 * they were answered is stored, and their retry gets it. An answer that many clients wait for is in memory once.
 */
export class UnreadAnswers {
  /** Oldest first. */
  readonly #waiting = new TurnoverMap<Socket, Buffer>();
  readonly #holders = new Map<Buffer, number>();
  #bytes = 0;

  constructor(private readonly limitBytes: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** Right before `body` is written to `socket`. `true`: `taken` is to be called when it was handed to the system. */
  add(socket: Socket, body: Buffer): boolean {
    if (body.length <= minCountedBytes) return false;
    const holders = this.#holders.get(body) ?? 0;
    this.#holders.set(body, holders + 1);
    if (holders === 0) this.#bytes += body.length;
    this.#waiting.set(socket, body);
    if (this.#bytes > this.limitBytes) this.#cutOldest(socket);
    return true;
  }

  #cutOldest(but: Socket): void {
    for (const [oldest] of this.#waiting) {
      if (oldest === but || this.#bytes <= this.limitBytes) return;
      this.taken(oldest);
      oldest.destroy();
    }
  }

  taken(socket: Socket): void {
    const body = this.#waiting.get(socket);
    if (body === undefined) return;
    this.#waiting.delete(socket);
    const holders = (this.#holders.get(body) ?? 1) - 1;
    if (holders > 0) {
      this.#holders.set(body, holders);
      return;
    }
    this.#holders.delete(body);
    this.#bytes -= body.length;
  }
}
