import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { TurnoverMap } from "../turnover.js";
import { ClientConnection, type Turn } from "./client-connection.js";
import { closeGently } from "./close-gently.js";
import { attachParser } from "./node-parser.js";
import { WriteProgress } from "./write-progress.js";

export interface ConnectionLimits {
  /** Requests of one connection that may wait for their turn. */
  readonly maxWaiting: number;
  /** To receive a request whose body is wanted whole; the silence that ends another one; without a byte taken, ms. */
  readonly requestMs: number;
  /** How often they are looked after, ms. */
  readonly checkMs: number;
}

interface Served {
  readonly connection: ClientConnection;
  readonly progress: WriteProgress;
  readonly receive: (bytes: Buffer) => void;
  readonly forget: () => void;
}

/** The clients' connections that node's server reads. */
export class Connections {
  readonly #served = new TurnoverMap<Socket, Served>();
  #timer: NodeJS.Timeout | undefined;
  #isClosing = false;

  constructor(
    private readonly limits: ConnectionLimits,
    /** A request has not come in time, or what comes can be none. */
    private readonly refuse: (socket: Socket, why: "late" | "unreadable") => void,
  ) {}

  /** `attach`: node's own listener for connections. `bytes`: what has been read already. */
  serve(socket: Socket, attach: (socket: Socket) => void, bytes?: Buffer): void {
    const unreadable = () => this.refuse(socket, "unreadable");
    const connection = new ClientConnection(socket, attachParser(socket, attach), unreadable, this.limits.maxWaiting);
    const receive = (octets: Buffer) => connection.receive(octets);
    const forget = () => void this.#served.delete(socket);
    this.#served.set(socket, { connection, progress: new WriteProgress(), receive, forget });
    socket.on("data", receive).on("close", forget);
    // What node ends a connection with, after the answer that says so.
    socket.destroySoon = () => closeGently(socket);
    this.#timer ??= setInterval(() => this.#check(), this.limits.checkMs).unref();
    if (this.#isClosing) connection.receiveLast(bytes ?? nothing);
    else if (bytes !== undefined) connection.receive(bytes);
    if (socket.isPaused()) socket.resume();
  }

  /** `false`: it is not to be begun. */
  enter(turn: Turn): boolean {
    return this.#of(turn.request)?.enter(turn) ?? false;
  }

  /** Something else is spoken there from here on. Returns what was read and not parsed. */
  leave(socket: Socket): Buffer {
    const { connection, receive, forget } = this.#served.get(socket)!;
    socket.off("data", receive).off("close", forget);
    this.#served.delete(socket);
    return connection.leave();
  }

  /** How a connection is refused over which comes what node's parser does not accept. */
  broken(socket: Socket): ReturnType<ClientConnection["broken"]> {
    return this.#served.get(socket)?.connection.broken() ?? "refuse";
  }

  /** Each ends with the last answer it is owed; one that is owed nothing ends at once. */
  endAllWhenAnswered(): void {
    this.#isClosing = true;
    for (const [, { connection }] of this.#served) connection.endWhenAnswered();
  }

  #of({ socket }: IncomingMessage): ClientConnection | undefined {
    return this.#served.get(socket)?.connection;
  }

  #check(): void {
    const nowMs = performance.now();
    const { requestMs } = this.limits;
    for (const [socket, { connection, progress }] of this.#served) {
      if (progress.stalledMs(socket, nowMs) > requestMs) socket.destroy();
      else if (connection.isLate(nowMs, requestMs)) this.refuse(socket, "late");
    }
    if (this.#served.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

const nothing = Buffer.alloc(0);
