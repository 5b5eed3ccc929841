import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { exchange } from "../../src/proxy/exchange.js";
import { Pools } from "../../src/proxy/pools.js";
import { sampleRoute } from "../sample-config.js";
import { reset } from "../spec/octets.js";

// As undici 7.30 and libuv 1.46 have it: a reset is taken for an end, or ends the process, where nobody looks closer.

const framings = [
  "Connection: close",
  "Connection: close\r\nTransfer-Encoding: chunked",
  "Connection: close\r\nContent-Length: 9000000",
  "Transfer-Encoding: chunked",
];

t.test("a reset tears a response in every framing, also while it is held back, and ends nothing else", async (t) => {
  for (const bytes of [10_000, 100_000, 3_000_000]) {
    for (const framing of framings) {
      for (const isHeldBack of [true, false]) {
        let socket!: Socket;
        const server = createServer((met) => {
          socket = met.on("error", () => {});
          met.once("data", () => {
            met.write(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n`);
            if (framing.includes("chunked")) met.write(`${bytes.toString(16)}\r\n`);
            met.write(Buffer.alloc(bytes, "x"));
          });
        });
        await once(server.listen(0, "127.0.0.1"), "listening");
        const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
        const pools = new Pools(true);
        const outcome = await exchange(pools.forOpen({ ...sampleRoute("pay").upstream, origin }), {
          ...{ origin, method: "POST", target: "/", headers: ["Host", "a"], body: null },
          ...{ timeoutMs: 10_000, maxStoredBytes: 1000 },
        });
        if (outcome.kind !== "streamed") return t.fail(outcome.kind);
        await pause(50);
        reset(socket);
        if (isHeldBack) await pause(50);
        outcome.response.body.readOn();
        const what = `${bytes} ${framing} ${isHeldBack}`;
        t.match(await outcome.response.body.ended, { kind: "torn", cause: "reset" }, what);
        server.close();
        await pools.destroy();
      }
    }
  }
});
