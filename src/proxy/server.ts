import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import fastify, { type FastifyInstance } from "fastify";
import type { Config } from "../config/config.js";
import { type ProblemTypes, problemDocument } from "../problem.js";
import { Connections } from "./connections.js";
import { openPassthrough } from "./passthrough.js";
import { rawProblem } from "./reply.js";

/** What answers requests, behind the listener. */
export interface Lanes {
  request(request: IncomingMessage, response: ServerResponse, mustContinue: boolean): void;
  upgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** How problems are named by the configuration in force. */
  readonly problems: ProblemTypes;
}

export type FastifyRouting = (request: IncomingMessage, response: ServerResponse) => void;

/** A header section larger than this is answered 431 by the parser. */
const maxHeaderBytes = 64 * 1024;
/** How often the header and request timeouts are looked after, ms. */
const timeoutCheckMs = 1_000;
/** How long a refused connection may stay half open, ms. */
const lingerMs = 1_000;
/** Longer than the idle timeout of the usual load balancers (60 s), so that it is they who close, ms. */
const keepAliveMs = 65_000;

/**
 * The traffic port. fastify listens and closes; each request is looked at before fastify routes it, because the
 * protected lane and the refusals want the raw request: malformed targets never reach a fastify hook, and its headers
 * are no longer the ones on the wire.
 */
export class TrafficServer {
  readonly #app: FastifyInstance;
  readonly #servers: Server[] = [];
  readonly #connections = new Connections();
  #lanes: Lanes | undefined;
  #routing: FastifyRouting = () => {};

  constructor(private readonly config: Config) {
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
    await openPassthrough(this.#app);
    await this.#app.listen({ host: this.config.server.host, port: this.config.server.port });
    return this.#servers[0]?.address() as AddressInfo;
  }

  /** Takes no new connection, and resolves when the last one is closed: each is with the last answer it is owed. */
  async drain(): Promise<void> {
    this.#connections.endAllWhenAnswered();
    // Before fastify does: from then on it sets a header on each response, which costs the others their order.
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
    await this.#app.close();
  }

  destroy(): void {
    for (const server of this.#servers) server.closeAllConnections();
  }

  #createServer(): Server {
    const { tls, limits } = this.config.server;
    const options = {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: Math.min(limits.headersTimeoutMs, limits.requestTimeoutMs),
      requestTimeout: limits.requestTimeoutMs,
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
    server.on(tls === null ? "connection" : "secureConnection", (socket: Socket) => this.#connections.meet(socket));
    // Of several addresses fastify hands the upgrades of all others to the first server.
    if (this.#servers.length === 0) {
      server.on("upgrade", (request, socket, head) => this.#upgrade(server, request, socket as Socket, head));
    }
    this.#servers.push(server);
    return server;
  }

  #take(request: IncomingMessage, response: ServerResponse, mustContinue: boolean): void {
    this.#connections.enter(request, response);
    this.#lanes?.request(request, response, mustContinue);
  }

  #upgrade(server: Server, request: IncomingMessage, socket: Socket, head: Buffer): void {
    // Node has let go of the socket, so that the answers before this one could no longer be written in full.
    if (this.#connections.owed(socket).size > 0) {
      socket.destroy();
      return;
    }
    this.#connections.upgraded(socket);
    this.#lanes?.upgrade(server, request, socket, head);
  }

  /** What node's parser does not accept never becomes a request; it is answered on the bare socket, when it is its turn. */
  #refuseUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
    if (!socket.writable || error.code === "ECONNRESET") {
      socket.destroy();
      return;
    }
    const owed = [...this.#connections.owed(socket)];
    const last = owed.at(-1);
    if (last?.req.complete) {
      this.#connections.endWhenAnswered(socket);
    } else if (owed.length > 1 || last?.headersSent) {
      socket.destroy();
    } else {
      socket.end(this.#refusalOf(error));
      setTimeout(() => socket.destroy(), lingerMs).unref();
    }
  }

  #refusalOf({ code }: NodeJS.ErrnoException): string {
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
