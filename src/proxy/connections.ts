import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { TurnoverMap } from "../turnover.js";

/**
 * The answers that each connection is still owed, oldest first. They go out in the order of their requests (RFC 9112
 * §9.3.2), so nothing else may be written to a connection while it is owed one.
 */
export class Connections {
  /** Lists and no sets, as `turnover.ts` has it: the first to go is nearly always the first of them. */
  readonly #owed = new TurnoverMap<Socket, ServerResponse[]>();
  readonly #ending = new WeakSet<Socket>();
  /** Something else is spoken there. */
  readonly #foreign = new WeakSet<Socket>();
  #isClosing = false;

  /** A connection over which requests will come; perhaps one that was upgraded in vain. */
  meet(socket: Socket): void {
    this.#foreign.delete(socket);
    if (this.#owed.get(socket) !== undefined) return;
    const owed: ServerResponse[] = [];
    this.#owed.set(socket, owed);
    socket.once("close", () => {
      this.#owed.delete(socket);
      // Node tells only the response whose turn it was.
      for (const response of [...owed]) if (response.socket === null) close(response);
    });
  }

  upgraded(socket: Socket): void {
    this.#foreign.add(socket);
  }

  enter(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const owed = this.#owed.get(socket);
    owed?.push(response);
    if (this.#isClosing) response.shouldKeepAlive = false;
    response.on("close", () => {
      const at = owed?.indexOf(response) ?? -1;
      if (at >= 0) owed?.splice(at, 1);
      if (owed?.length === 0 && (this.#isClosing || this.#ending.has(socket))) socket.destroySoon();
    });
  }

  owed(socket: Socket): readonly ServerResponse[] {
    return this.#owed.get(socket) ?? nothing;
  }

  /** The connection takes no further request, and ends with the last answer it is owed. */
  endWhenAnswered(socket: Socket): void {
    this.#ending.add(socket);
    for (const response of this.owed(socket)) response.shouldKeepAlive = false;
  }

  /** The same for all of them; one that is owed nothing ends at once, also if nothing was ever asked over it. */
  endAllWhenAnswered(): void {
    this.#isClosing = true;
    for (const [socket, owed] of this.#owed) {
      if (owed.length === 0 && !this.#foreign.has(socket)) socket.destroySoon();
      for (const response of owed) response.shouldKeepAlive = false;
    }
  }
}

const nothing: readonly ServerResponse[] = [];

function close(response: ServerResponse): void {
  response.destroy();
  response.emit("close");
}
