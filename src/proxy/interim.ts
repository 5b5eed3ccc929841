import { type ServerResponse, STATUS_CODES } from "node:http";

/**
 * Passes an interim answer on (RFC 9110 §15.2) when it is the response's turn, if its own head is not on the way by
 * then. undici takes a status below 100 for an interim one, too; a client could not read it. Written to the socket itself: what node keeps for a response whose turn has not come may end up behind its head.
 */
export function sendInterim(response: ServerResponse, status: number, headers: readonly string[]): void {
  const { req, socket } = response;
  if (status < 100 || status > 199) return;
  if (req.httpVersionMajor === 1 && req.httpVersionMinor === 0) return;
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  text += "\r\n";
  if (socket !== null) {
    if (!response.headersSent && socket.writable) socket.write(text, "latin1");
  } else {
    // Before node writes what it has kept.
    response.once("socket", (given) => given.write(text, "latin1"));
  }
}
