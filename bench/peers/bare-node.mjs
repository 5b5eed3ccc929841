// The least that node can do for a replay: read a request whole, answer from memory. A yardstick, not a peer. PORT.
import { createServer } from "node:http";

const body = Buffer.from(JSON.stringify({ id: "x".repeat(24), status: "succeeded", note: "y".repeat(200) }));

createServer((request, response) => {
  request.on("data", () => {});
  request.on("end", () => {
    response.writeHead(201, ["Content-Type", "application/json", "Content-Length", String(body.length)]).end(body);
  });
}).listen(Number(process.env.PORT), "127.0.0.1");
