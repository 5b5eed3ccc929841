import type { Socket } from "node:net";
import { TurnoverSet } from "../../turnover.js";
import { PlainClient, type PlainDoor } from "./plain-client.js";

export interface ClientTimes {
  /** From the connection to its first octet, ms. */
  readonly firstMs: number;
  /** From a request's head to the end of its body, ms. */
  readonly requestMs: number;
  /** Between an answer and the next request, ms. */
  readonly keptMs: number;
  /** Without a byte of an answer taken, ms. */
  readonly stalledMs: number;
  /** How often they are looked after, ms. */
  readonly checkMs: number;
}

/** The connections that have sent nothing but plain requests so far, and the times they may take. */
export class PlainClients<Admitted> {
  readonly #clients = new TurnoverSet<PlainClient<Admitted>>();
  readonly #keepAlive: string;
  #timer: NodeJS.Timeout | undefined;
  #isEnding = false;

  constructor(
    private readonly door: PlainDoor<Admitted>,
    private readonly times: ClientTimes,
    private readonly maxWaiting: number,
    /** A request has not come in time. */
    private readonly late: (socket: Socket) => void,
  ) {
    this.#keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(times.keptMs / 1000)}\r\n\r\n`;
  }

  meet(socket: Socket): void {
    const gone = (client: PlainClient<Admitted>) => void this.#clients.delete(client);
    const client = new PlainClient(socket, this.door, gone, this.#keepAlive, this.maxWaiting);
    this.#clients.add(client);
    if (this.#isEnding) client.endWhenAnswered();
    this.#timer ??= setInterval(() => this.#check(), this.times.checkMs).unref();
  }

  /** Each ends with the answer it is owed, at once if it is owed none. */
  endWhenAnswered(): void {
    this.#isEnding = true;
    for (const client of this.#clients) client.endWhenAnswered();
  }

  destroy(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const client of this.#clients) client.socket.destroy();
  }

  #check(): void {
    const nowMs = performance.now();
    const { firstMs, requestMs, keptMs, stalledMs } = this.times;
    for (const client of this.#clients) {
      const { phase, socket, hasAsked } = client;
      const forMs = nowMs - client.sinceMs;
      if (phase === "receiving" ? forMs > requestMs : phase === "idle" && !hasAsked && forMs > firstMs) {
        client.abandon();
        this.late(socket);
      } else if (phase === "idle" && hasAsked && forMs > keptMs) {
        socket.destroy();
      } else if (client.progress.stalledMs(socket, nowMs) > stalledMs) {
        socket.destroy();
      }
    }
    if (this.#clients.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
