import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Outcome, Upstream } from "../model.js";
import { headerValue } from "../rules/headers.js";
import { mayTryAgain } from "./call-times.js";
import { type Connect, connectPauseMs } from "./upstream-connect.js";

/** Where an upgrade goes: the head as the upstream shall see it, hop-by-hop fields included. */
export interface Tunnel {
  readonly upstream: Upstream;
  readonly target: string;
  readonly headers: string[];
  /** What the answer's `Via` says of the gateway. */
  readonly via: string;
  readonly connect: Connect;
  /** As of `Dispatch`. */
  readonly retryUnsentMs: number;
  readonly retries: () => void;
}

/** Told once how the upgrade was answered. */
export interface TunnelEnds {
  readonly answered: (status: number) => void;
  readonly failed: (outcome: Extract<Outcome, { kind: "unsent" | "unanswered" }>) => void;
}

/** An upgrade with both of its connections. */
interface Upgrade {
  readonly request: IncomingMessage;
  readonly client: Duplex;
  /** What came behind the request. */
  readonly head: Buffer;
  readonly socket: Socket;
}

/** Open tunnels are not HTTP any more: the server does not know them, so a drain has to cut them itself. */
export class Tunnels {
  readonly #sockets = new Set<Duplex>();

  /**
   * Relays an upgrade byte for byte: whatever the two sides agree on, extensions and subprotocols included, stays
   * between them. A refusal by the upstream is passed on as it is.
   */
  open(request: IncomingMessage, client: Duplex, head: Buffer, tunnel: Tunnel, ends: TunnelEnds): void {
    const { timeoutMs } = tunnel.upstream;
    let isOver = false;
    let connected: Socket | undefined;
    const fail = (error: Error, cause: "reset" | "timeout" = "reset") => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      connected?.destroy();
      ends.failed(connected === undefined ? { kind: "unsent", error } : { kind: "unanswered", error, cause });
    };
    const timer = setTimeout(() => fail(new Error("no answer to the upgrade in time"), "timeout"), timeoutMs);
    const giveUp = () => fail(new Error("given up by its client"));
    client.on("close", giveUp).on("error", giveUp);
    connectFor(
      tunnel,
      () => isOver,
      (error, socket) => {
        if (socket === null) return fail(error ?? new Error("no connection"));
        if (isOver) return void socket.destroy();
        connected = socket;
        const answered = (status: number) => {
          isOver = true;
          clearTimeout(timer);
          ends.answered(status);
        };
        this.#ask({ request, client, head, socket }, tunnel, answered, fail);
      },
    );
  }

  closeAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #ask(
    { request, client, head, socket }: Upgrade,
    { target, headers, via }: Tunnel,
    answered: (status: number) => void,
    fail: (error: Error) => void,
  ): void {
    const { method } = request;
    const outgoing = httpRequest({ method, path: target, headers, createConnection: () => socket });
    const giveUp = () => outgoing.destroy();
    client.on("close", giveUp).on("error", giveUp);
    outgoing.on("upgrade", (answer, server, serverHead) => {
      answered(101);
      client.write(headOf(answer, "Switching Protocols", via), "latin1");
      if (serverHead.length > 0) client.write(serverHead);
      if (head.length > 0) server.write(head);
      this.#join(client, server);
    });
    outgoing.on("response", (answer) => {
      answered(answer.statusCode ?? 502);
      client.write(headOf(answer, "", via, true), "latin1");
      answer.pipe(client);
      // Broken off upstream: broken off here, or the client would wait for the rest.
      answer.on("close", () => {
        if (!answer.complete) client.destroy();
      });
    });
    outgoing.on("error", fail);
    outgoing.end();
  }

  #join(client: Duplex, server: Duplex): void {
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}

/** A connection of its own; tried again while the route says so and the client waits. */
function connectFor(tunnel: Tunnel, isOver: () => boolean, done: Parameters<Connect>[0]): void {
  const begunMs = performance.now();
  const attempt = (attempts: number) => {
    tunnel.connect((error, socket) => {
      if (socket !== null || isOver() || !mayTryAgain(tunnel, begunMs)) return done(error, socket);
      setTimeout(() => attempt(attempts + 1), connectPauseMs(attempts));
    });
  };
  attempt(1);
}

/** Whether this is the one kind of upgrade that is relayed. */
export function isWebSocket(request: IncomingMessage): boolean {
  return request.method === "GET" && headerValue(request.rawHeaders, "upgrade")?.toLowerCase() === "websocket";
}

/**
 * The bytes of a request that asked for an upgrade we do not make, as the plain request it also is (RFC 9110 §7.8: a server
 * may ignore the field). Java's HTTP client sends `Upgrade: h2c` with every first POST; node hands all of
 * them to the `upgrade` listener, bodies unread.
 */
export function withoutUpgrade(request: IncomingMessage, head: Buffer): Buffer {
  let text = `${request.method} ${request.url} HTTP/${request.httpVersion}\r\n`;
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i] as string;
    const value = request.rawHeaders[i + 1] as string;
    const lower = name.toLowerCase();
    if (lower === "upgrade" || lower === "http2-settings") continue;
    text += `${name}: ${lower === "connection" ? withoutTokens(value) : value}\r\n`;
  }
  return Buffer.concat([Buffer.from(`${text}\r\n`, "latin1"), head]);
}

function withoutTokens(connection: string): string {
  const kept = connection.split(",").filter((token) => !/^\s*(upgrade|http2-settings)\s*$/i.test(token));
  return kept.join(",").trim() || "keep-alive";
}

function headOf(answer: IncomingMessage, fallbackReason: string, via: string, isLast = false): string {
  let text = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage ?? fallbackReason}\r\n`;
  for (let i = 0; i < answer.rawHeaders.length; i += 2) {
    const name = answer.rawHeaders[i] as string;
    // A refusal ends with its connection; node has taken the transfer coding off already.
    if (isLast && /^(connection|keep-alive|transfer-encoding)$/i.test(name)) continue;
    text += `${name}: ${answer.rawHeaders[i + 1]}\r\n`;
  }
  return `${text}Via: ${via}\r\n${isLast ? "Connection: close\r\n" : ""}\r\n`;
}
