import type { Server } from "node:http";
import { Server as NetServer, type Socket } from "node:net";

/*
 * Where we reach into node's HTTP server, as node 20 to 24 have it: `test/proxy/node-parser.test.ts` says what is relied on.
 */

/**
 * Gives a connection to node's HTTP server, but not its bytes: what is returned hands them to its parser. Node would
 * parse all that has come, and make a request and a response of each message in it, whether or not its turn has come.
 */
export function attachParser(socket: Socket, attach: (socket: Socket) => void): (bytes: Buffer) => void {
  const before = new Set(socket.listeners("data"));
  attach(socket);
  const [read] = socket.listeners("data").filter((listener) => !before.has(listener)) as [(bytes: Buffer) => void];
  socket.off("data", read);
  return read;
}

/** Bytes that were given to the system and that it has not taken. `bytesWritten` counts these as well. */
export function queuedBytes(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle: { writeQueueSize?: number } | null };
  return handle?.writeQueueSize ?? 0;
}

/**
 * Takes no new connection; resolves when the last one is closed. The server's own `close` destroys connections whose
 * answer is still being read by its client, and looks after no timeout any more.
 */
export function stopListening(server: Server): Promise<void> {
  return new Promise((resolve) => void NetServer.prototype.close.call(server, () => resolve()));
}
