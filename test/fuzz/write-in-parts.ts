import type { Socket } from "node:net";
import { setTimeout as pause, setImmediate as turn } from "node:timers/promises";
import type { Random } from "../chaos/random.js";

/** At once, in a few parts, or at first in parts of an octet or two; with a pause between them now and then. */
export async function writeInParts(
  socket: Socket,
  text: string,
  random: Random,
  splitBefore = text.length,
): Promise<void> {
  const most = random.pick([text.length, text.length, 200, 2]);
  let parts = 0;
  for (let at = 0; at < text.length && socket.writable; ) {
    const bytes = parts++ > 60 || at + most > splitBefore ? text.length : random.integer(1, Math.max(1, most));
    socket.write(Buffer.from(text.slice(at, at + bytes), "latin1"));
    at += bytes;
    if (at < text.length) await (random.chance(0.1) ? pause(1) : turn());
  }
}
