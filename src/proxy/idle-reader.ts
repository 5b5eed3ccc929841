import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

/**
 * Ends a response whose reader takes nothing of it for `patienceMs`, while there is something to take: it holds one of
 * the upstream's connections. Node's timer of the socket starts again with every byte the system accepts.
 */
export function cutIdleReader(response: ServerResponse, patienceMs: number): void {
  const { socket } = response;
  if (socket === null) response.once("socket", (given) => watch(response, given, patienceMs));
  else watch(response, socket, patienceMs);
}

function watch(response: ServerResponse, socket: Socket, patienceMs: number): void {
  const look = () => {
    if (socket.writableLength > 0) response.destroy();
    else socket.setTimeout(patienceMs);
  };
  // Without a listener of the response node's server ends the connection, whatever it waits for.
  response.on("timeout", () => {});
  socket.on("timeout", look).setTimeout(patienceMs);
  const end = () => socket.off("timeout", look).setTimeout(0);
  response.once("finish", end);
}
