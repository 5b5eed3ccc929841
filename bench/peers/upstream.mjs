// The API behind every peer: reads the body, answers 201 with about 370 bytes, each answer with a number of its own, so
// that it can be told who got whose. X-Delay-Ms makes it slow, X-Answer-Bytes its answer large. PORT.
import { createServer } from "node:http";

let serial = 0;

function answer(bytes) {
  const id = String(++serial).padStart(10, "0");
  const head = `{"id":"pay_${id}","status":"settled","note":"`;
  return `${head}${"x".repeat(bytes === undefined ? 160 : Math.max(0, bytes - head.length - 2))}"}`;
}

const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const { "x-delay-ms": delayMs, "x-answer-bytes": bytes } = request.headers;
    const text = answer(bytes === undefined ? undefined : Number(bytes));
    const send = () =>
      response.writeHead(201, { "Content-Type": "application/json", "Content-Length": text.length }).end(text);
    if (delayMs === undefined) send();
    else setTimeout(send, Number(delayMs));
  });
});
server.keepAliveTimeout = 60_000;
server.listen(Number(process.env.PORT), "127.0.0.1");
