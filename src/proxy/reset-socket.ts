import type { Socket } from "node:net";

/**
 * Ends a connection with a reset and nothing before it, as node 20 to 24 have it. `resetAndDestroy` ends the stream first,
 * and the other side would see an orderly end; the flag that it sets decides how `destroy` closes the handle. A socket with
 * TLS has no such handle: there an end without `close_notify` says the same (RFC 8446 §6.1).
 */
export function resetSocket(socket: Socket): void {
  if (!("encrypted" in socket)) (socket as Socket & { resetAndClosing: boolean }).resetAndClosing = true;
  socket.destroy();
}
