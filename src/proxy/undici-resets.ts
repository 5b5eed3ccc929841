/** How a reset differs from an end, as undici 7.30 and libuv 1.46 (node 20) have it. */
import type { Duplex } from "node:stream";

/**
 * Before undici's own listeners. It takes `ECONNRESET` for the end of a response whose connection is not kept, and throws
 * from within the event where the response is held back at that moment. Under another code it is an error like all others.
 * `torn` is called before undici hears of the end: a response without a length ends with its connection, and may be
 * completed from within this very event.
 */
export function watchResets(socket: Duplex, torn: () => void): void {
  socket.on("error", (error: NodeJS.ErrnoException) => {
    torn();
    if (error.code === "ECONNRESET") error.code = "CONNECTION_RESET";
  });
  socket.prependListener("end", () => {
    if (wasReset(socket)) torn();
  });
}

/**
 * Whether what looks like the end of a connection was a reset. libuv tells of a reset as of an end where bytes came before
 * it that had not been read; a write of nothing meets the error that the system still holds. To be asked before node's own
 * listener for `end`, which ends the sending side.
 */
export function wasReset(socket: Duplex): boolean {
  if (socket.writable) socket.write(noBytes);
  return socket.errored !== null;
}

const noBytes = Buffer.alloc(0);
