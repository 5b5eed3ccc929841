import t from "tap";
import { RawClient } from "../e2e/raw-client.js";
import { Upstream } from "../e2e/upstream.js";
import { guarded, open, SampleGateway } from "../spec/gateway.js";

// What an upstream says of trailers never costs a client its answer: they go on where there are chunks to carry them.

const upstream = await Upstream.start(t);
const gateway = await SampleGateway.start(t, {
  routes: [
    { ...guarded("/kept", upstream.url), match: { path: "/kept", methods: ["POST", "HEAD"] } },
    open("/*", upstream.url),
  ],
});

const framings = {
  length: "Content-Length: 3\r\n\r\nabc",
  chunked: "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
  stream: "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
  close: "\r\nabc",
};

let keys = 0;

for (const path of ["/kept", "/open"]) {
  t.test(`${path}: announced trailers, in every framing, for every client`, async (t) => {
    for (const [framing, rest] of Object.entries(framings)) {
      for (const version of ["1.1", "1.0"]) {
        for (const method of ["POST", "HEAD"]) {
          upstream.on(path, ({ socket }) => {
            const whole = `HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\n${rest}`;
            socket.write(method === "HEAD" ? whole.slice(0, whole.indexOf("\r\n\r\n") + 4) : whole);
            if (framing === "close" && method !== "HEAD") socket.end();
          });
          const client = await RawClient.connect(gateway.port);
          const key = `Idempotency-Key: trailer-${++keys}`;
          client.write(`${method} ${path} HTTP/${version}\r\nHost: a\r\n${key}\r\nContent-Length: 0\r\n\r\n`);
          const { status, body, trailers } = await client.response(method);
          const what = `${framing} ${version} ${method}`;
          t.match([status, body.toString()], [200, method === "HEAD" ? "" : "abc"], what);
          const hasTrailers = rest.includes("X-Sum") && version === "1.1" && method === "POST";
          t.same(trailers, hasTrailers ? [["X-Sum", "1"]] : [], what);
          client.hangUp();
        }
      }
    }
  });
}
