import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import fastify, { type FastifyInstance } from "fastify";
import type { Config } from "../config/config.js";
import { type ProblemTypes, problemDocument } from "../problem.js";
import type { Turn } from "./client-connection.js";
import { closeGently } from "./close-gently.js";
import { connectionLimit } from "./connection-limit.js";
import { Connections } from "./connections.js";
import { stopListening } from "./node-parser.js";
import { openPassthrough } from "./passthrough.js";
import type { PlainDoor as Door } from "./plain/plain-client.js";
import { PlainClients } from "./plain/plain-clients.js";
import type { Admitted } from "./plain/plain-lane.js";
import { rawProblem } from "./reply.js";

export type PlainDoor = Door<Admitted>;

/** What answers requests, behind the listener. */
export interface Lanes {
  request(turn: Turn): void;
  /** `giveBack`: the upgrade is not made; `bytes` is what was asked for instead. */
  upgrade(giveBack: (bytes: Buffer) => void, request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** For requests of the plain form; `leave` has node's server read the connection from here on. */
  plain(leave: (socket: Socket, octets: Buffer) => void): PlainDoor;
  /** How problems are named by the configuration in force. */
  readonly problems: ProblemTypes;
}

export type FastifyRouting = (request: IncomingMessage, response: ServerResponse) => void;

/** A header section larger than this is answered 431 by the parser. */
const maxHeaderBytes = 64 * 1024;
/** How often the header and request timeouts are looked after, ms. */
const timeoutCheckMs = 1_000;
/** Longer than the idle timeout of the usual load balancers (60 s), so that it is they who close, ms. */
const keepAliveMs = 65_000;

/**
 * The traffic port. fastify listens and closes; each request is looked at before fastify routes it, because the
 * protected lane and the refusals want the raw request: malformed targets never reach a fastify hook, and its headers
 * are no longer the ones on the wire. A connection belongs to `PlainClients` for as long as all its requests are of the
 * plain form and for the protected lane; then it is given to node's server. Without `server.fastPath` node's server has all
 * of them from the start.
 */
export class TrafficServer {
  readonly #app: FastifyInstance;
  readonly #servers: Server[] = [];
  readonly #connections: Connections;
  #open = 0;
  #plain: PlainClients<Admitted> | undefined;
  #lanes: Lanes | undefined;
  #routing: FastifyRouting = () => {};
  #parse: (socket: Socket) => void = () => {};

  constructor(private readonly config: Config) {
    const { requestTimeoutMs: requestMs, pipelined: maxWaiting } = config.server.limits;
    const limits = { maxWaiting, requestMs, checkMs: timeoutCheckMs };
    this.#connections = new Connections(limits, (socket, why) =>
      this.#refuse(socket, { code: why === "late" ? "ERR_HTTP_REQUEST_TIMEOUT" : "UNREADABLE" }),
    );
    this.#app = fastify({
      serverFactory: (routing) => {
        this.#routing = routing as FastifyRouting;
        return this.#createServer() as never;
      },
      exposeHeadRoutes: false,
      return503OnClosing: false,
      forceCloseConnections: "idle",
      clientErrorHandler: (error, socket) => this.#refuseUnreadable(error, socket),
      genReqId: () => "",
    });
  }

  /** Hands a request to fastify, and with it to the unprotected lane. */
  readonly route: FastifyRouting = (request, response) => this.#routing(request, response);

  /** Throws node's error when the address cannot be had. */
  async listen(lanes: Lanes): Promise<AddressInfo> {
    this.#lanes = lanes;
    if (this.config.server.fastPath) this.#plain = this.#openPlain(lanes);
    await openPassthrough(this.#app);
    await this.#app.listen({ host: this.config.server.host, port: this.config.server.port });
    return this.#servers[0]?.address() as AddressInfo;
  }

  /** Takes no new connection, and resolves when the last one is closed: each is with the last answer it is owed. */
  async drain(): Promise<void> {
    this.#plain?.endWhenAnswered();
    this.#connections.endAllWhenAnswered();
    // Before fastify does: from then on it sets a header on each response, which costs the others their order.
    await Promise.all(this.#servers.map(stopListening));
    await this.#app.close();
  }

  destroy(): void {
    this.#plain?.destroy();
    for (const server of this.#servers) server.closeAllConnections();
  }

  #createServer(): Server {
    const { tls, limits } = this.config.server;
    const options = {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: Math.min(limits.headersTimeoutMs, limits.requestTimeoutMs),
      // Looked after by `Connections`, which know what a request is for.
      requestTimeout: 0,
      connectionsCheckingInterval: timeoutCheckMs,
      keepAliveTimeout: keepAliveMs,
      // We answer what is missing or ambiguous ourselves, as a problem document.
      requireHostHeader: false,
      insecureHTTPParser: false,
      noDelay: true,
    };
    const server: Server = tls === null ? createServer(options) : createTlsServer({ ...options, ...tls });
    // Some releases of node drop what is over the limit without a word, the key among it: our own limit answers 431.
    server.maxHeadersCount = 0;
    server.on("request", (request, response) => this.#take(request, response, false));
    server.on("checkContinue", (request, response) => this.#take(request, response, true));
    // Of what else may be expected nothing is known here, nor need it be (RFC 9110 §10.1.1).
    server.on("checkExpectation", (request, response) => this.#take(request, response, false));
    const connected = tls === null ? "connection" : "secureConnection";
    // Node's own listener, which begins to parse; it is called for the connections that are left to it.
    const [parse] = server.listeners(connected) as [(socket: Socket) => void];
    server.removeAllListeners(connected);
    server.on(connected, (socket: Socket) => this.#meet(socket));
    this.#limit(server);
    // Of several addresses the first is the one whose listeners are complete.
    if (this.#servers.length === 0) this.#parse = (socket) => parse.call(server, socket);
    // Of several addresses fastify hands the upgrades of all others to the first server.
    if (this.#servers.length === 0) {
      server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket as Socket, head));
    }
    this.#servers.push(server);
    return server;
  }

  /** Connections beyond the limit are closed before anything is read, so that the admin port and upstreams have theirs. */
  #limit(server: Server): void {
    const connections = connectionLimit(this.config);
    const accept = server.listeners("connection") as ((socket: Socket) => void)[];
    server.removeAllListeners("connection");
    server.on("connection", (socket: Socket) => {
      if (this.#open >= connections) return void socket.destroy();
      this.#open++;
      socket.once("close", () => this.#open--);
      for (const listener of accept) listener.call(server, socket);
    });
  }

  #meet(socket: Socket): void {
    if (this.#plain === undefined) this.#serve(socket);
    else this.#plain.meet(socket);
  }

  #take(request: IncomingMessage, response: ServerResponse, mustContinue: boolean): void {
    const turn: Turn = { request, response, mustContinue, isReadWhole: false };
    if (this.#connections.enter(turn)) this.#lanes?.request(turn);
    else request.resume();
  }

  #openPlain(lanes: Lanes): PlainClients<Admitted> {
    const { headersTimeoutMs, requestTimeoutMs, pipelined } = this.config.server.limits;
    const times = {
      firstMs: Math.min(headersTimeoutMs, requestTimeoutMs),
      requestMs: requestTimeoutMs,
      keptMs: keepAliveMs,
      stalledMs: requestTimeoutMs,
      checkMs: timeoutCheckMs,
    };
    const door = lanes.plain((socket, octets) => this.#serve(socket, octets));
    return new PlainClients(door, times, pipelined, (socket) =>
      this.#refuse(socket, { code: "ERR_HTTP_REQUEST_TIMEOUT" }),
    );
  }

  /** Node's server reads the connection from here on. `bytes`: what has been read of it already. */
  #serve(socket: Socket, bytes?: Buffer): void {
    this.#connections.serve(socket, this.#parse, bytes);
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const behind = this.#connections.leave(socket);
    const all = behind.length === 0 ? head : Buffer.concat([head, behind]);
    this.#lanes?.upgrade((bytes) => this.#serve(socket, bytes), request, socket, all);
  }

  /** What node's parser does not accept never becomes a request; it is answered on the bare socket. */
  #refuseUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
    if (!socket.writable || error.code === "ECONNRESET") {
      socket.destroy();
      return;
    }
    const how = this.#connections.broken(socket);
    if (how === "destroy") socket.destroy();
    else if (how === "refuse") this.#refuse(socket, error);
  }

  #refuse(socket: Socket, error: Pick<NodeJS.ErrnoException, "code">): void {
    socket.write(this.#refusalOf(error));
    closeGently(socket);
  }

  #refusalOf({ code }: Pick<NodeJS.ErrnoException, "code">): string {
    if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
      return "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    }
    const document = problemDocument(
      code === "HPE_HEADER_OVERFLOW"
        ? { code: "headers-too-many", detail: `The header section is larger than ${maxHeaderBytes} bytes.` }
        : { code: "request-ambiguous", detail: "The request is not well-formed HTTP/1.1 (RFC 9112)." },
      { instance: `urn:uuid:${crypto.randomUUID()}`, route: null },
      this.#lanes?.problems ?? this.config.problems,
    );
    return rawProblem(document);
  }
}
