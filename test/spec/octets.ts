import type { Socket } from "node:net";
import type { Behaviour } from "../e2e/upstream.js";

/** These octets, one for each character; then the end of the connection (`fin`), its reset (`rst`), or neither. */
export function octets(text: string, end: "fin" | "rst" | "open" = "fin"): Behaviour {
  return ({ socket }) => {
    socket.write(Buffer.from(text, "latin1"), () => {
      if (end === "fin") socket.end();
      // Not in the same turn: where the octets and the reset arrive together, libuv takes the reset for a plain end.
      if (end === "rst") setImmediate(() => setImmediate(() => reset(socket)));
    });
  };
}

/** `resetAndDestroy` sends a FIN before the RST. */
export function reset(socket: Socket): void {
  (socket as unknown as { _handle: { reset(done: () => void): void } | null })._handle?.reset(() => socket.destroy());
}
