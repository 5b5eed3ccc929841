// The API behind every peer: reads the body, answers 201 with about 370 bytes. PORT.
import { createServer } from "node:http";

const body = JSON.stringify({ id: "pay_1", status: "settled", note: "x".repeat(160) });
const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };

const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => response.writeHead(201, headers).end(body));
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.env.PORT), "127.0.0.1");
