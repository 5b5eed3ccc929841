import type { Socket } from "node:net";

const maxJoinedBytes = 16 * 1024;

/** `head` has one character for each octet. `written` is called as that of `socket.write`, for the whole message. */
export function writeMessage(
  socket: Socket,
  head: string,
  body: Buffer,
  written?: (error?: Error | null) => void,
): void {
  if (body.length === 0) socket.write(head, "latin1", written);
  // One string is one plain write; a string and octets are gathered and written apart.
  else if (body.length <= maxJoinedBytes) socket.write(head + body.toString("latin1"), "latin1", written);
  else {
    socket.cork();
    socket.write(head, "latin1");
    socket.write(body, written);
    socket.uncork();
  }
}
