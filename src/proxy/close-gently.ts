import type { Socket } from "node:net";

/** How long a client may go on sending what is not read any more, ms. */
const lingerMs = 1_000;

/**
 * Ends a connection with what was written to it. What the client still sends is read and dropped, for a second: a
 * connection that is closed over unread bytes is reset, and its client may lose answers that it has not read yet.
 * Closes at once when the client does.
 */
export function closeGently(socket: Socket): void {
  // Also where it was called before: the reader of an unwanted body may have paused it since.
  socket.resume();
  if (socket.destroyed || closing.has(socket)) return;
  closing.add(socket);
  socket.end();
  const linger = () => {
    const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
    socket.once("close", () => clearTimeout(timer));
  };
  if (socket.writableFinished) linger();
  else socket.once("finish", linger);
}

const closing = new WeakSet<Socket>();
