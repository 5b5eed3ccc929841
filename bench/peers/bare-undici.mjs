// The least that node can do for the job of a proxy: read whole, dispatch, answer. No routing, no checks, no store.
// A yardstick for our own overhead, not a peer anybody uses. PORT, UPSTREAM.
import { createServer } from "node:http";
import { Pool } from "undici";

const pool = new Pool(process.env.UPSTREAM, { connections: 64, pipelining: 1 });

createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const received = [];
    let head;
    pool.dispatch(
      {
        path: request.url,
        method: request.method,
        headers: request.rawHeaders.filter(
          (_, i, all) => !/^(connection|content-length)$/i.test(all[i - (i % 2)] ?? ""),
        ),
        body: Buffer.concat(parts),
      },
      {
        onConnect() {},
        onHeaders(status, headers) {
          head = { status, headers: headers.map((part) => part.toString("latin1")) };
          return true;
        },
        onData(part) {
          received.push(part);
          return true;
        },
        onComplete() {
          response.sendDate = false;
          response.writeHead(head.status, head.headers).end(Buffer.concat(received));
        },
        onError() {
          response.destroy();
        },
      },
    );
  });
}).listen(Number(process.env.PORT), "127.0.0.1");
