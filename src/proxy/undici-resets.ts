/** How a reset differs from an end, as undici 7.30 and libuv 1.46 (node 20) have it. */
import type { Duplex } from "node:stream";

let isTearing = false;

/**
 * Whether the end of a connection whose event is being handled at this very moment is a reset. A response without a length ends
 * with its connection: asked from `onComplete`, this tells a whole response from a torn one.
 */
export function isTorn(): boolean {
  return isTearing;
}

/**
 * Before undici's own listeners. It takes `ECONNRESET` for the end of a response whose connection is not kept, and throws
 * from within the event where the response is held back at that moment. Under another code it is an error like all others.
 */
export function watchResets(socket: Duplex): void {
  socket.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "ECONNRESET") error.code = "CONNECTION_RESET";
  });
  socket.prependListener("end", () => {
    if (!wasReset(socket)) return;
    isTearing = true;
    process.nextTick(() => {
      isTearing = false;
    });
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
