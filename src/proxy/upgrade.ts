import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import type { Upstream } from "../model.js";
import { headerValue } from "../rules/headers.js";

/** Where an upgrade goes: the head as the upstream shall see it, hop-by-hop fields included. */
export interface Tunnel {
  readonly upstream: Upstream;
  readonly target: string;
  readonly headers: string[];
  /** What the answer's `Via` says of the gateway. */
  readonly via: string;
}

/** Told once how the upgrade was answered. */
export interface TunnelEnds {
  readonly answered: (status: number) => void;
  readonly failed: (error: Error, isTimeout: boolean) => void;
}

/** Open tunnels are not HTTP any more: the server does not know them, so a drain has to cut them itself. */
export class Tunnels {
  readonly #sockets = new Set<Duplex>();

  /**
   * Relays an upgrade byte for byte: whatever the two sides agree on, extensions and subprotocols included, stays
   * between them. A refusal by the upstream is passed on as it is.
   */
  open(request: IncomingMessage, client: Duplex, head: Buffer, tunnel: Tunnel, ends: TunnelEnds): void {
    const { upstream } = tunnel;
    const url = new URL(upstream.origin);
    const open = url.protocol === "https:" ? httpsRequest : httpRequest;
    const outgoing = open({
      protocol: url.protocol,
      hostname: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port,
      method: request.method,
      path: tunnel.target,
      headers: tunnel.headers,
      agent: false,
    });
    let isTimeout = false;
    const timer = setTimeout(() => {
      isTimeout = true;
      outgoing.destroy(new Error("no answer to the upgrade in time"));
    }, upstream.timeoutMs);
    const giveUp = () => outgoing.destroy();
    client.on("close", giveUp);
    client.on("error", giveUp);
    outgoing.on("upgrade", (answer, server, serverHead) => {
      clearTimeout(timer);
      ends.answered(101);
      client.write(headOf(answer, "Switching Protocols", tunnel.via), "latin1");
      if (serverHead.length > 0) client.write(serverHead);
      if (head.length > 0) server.write(head);
      this.#join(client, server);
    });
    outgoing.on("response", (answer) => {
      clearTimeout(timer);
      ends.answered(answer.statusCode ?? 502);
      client.write(headOf(answer, "", tunnel.via, true), "latin1");
      answer.pipe(client);
      // Broken off upstream: broken off here, or the client would wait for the rest.
      answer.on("close", () => {
        if (!answer.complete) client.destroy();
      });
    });
    outgoing.on("error", (error) => {
      clearTimeout(timer);
      ends.failed(error, isTimeout);
    });
    outgoing.end();
  }

  closeAll(): void {
    for (const socket of this.#sockets) socket.destroy();
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
