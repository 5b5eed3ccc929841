import { once } from "node:events";
import { createServer, type Socket, connect as tcpConnect } from "node:net";
import type { Test } from "tap";

interface Line {
  readonly sockets: readonly Socket[];
  isHeld: boolean;
  readonly kept: (() => void)[];
}

/** Stands before a server on the loopback address, and loses its answers when it is told to. */
export async function lossyProxy(t: Test, port: number) {
  const lines = new Set<Line>();
  const proxy = createServer((client) => {
    const server = tcpConnect(port, "127.0.0.1");
    const line: Line = { sockets: [client, server], isHeld: false, kept: [] };
    lines.add(line);
    for (const socket of line.sockets) {
      socket.on("error", () => {});
      socket.on("close", () => {
        lines.delete(line);
        for (const each of line.sockets) each.destroy();
      });
    }
    client.pipe(server);
    server.on("data", (chunk) => {
      if (line.isHeld) line.kept.push(() => client.write(chunk));
      else client.write(chunk);
    });
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const cut = () => {
    for (const line of lines) for (const socket of line.sockets) socket.destroy();
  };
  t.teardown(() => {
    cut();
    proxy.close();
  });
  return {
    url: `redis://127.0.0.1:${(proxy.address() as { port: number }).port}`,
    /** From now on the connections there are go silent, as half-open ones do. New ones work. */
    hold() {
      for (const line of lines) line.isHeld = true;
    },
    /** What was kept back comes late. */
    pass() {
      for (const line of lines) {
        line.isHeld = false;
        for (const send of line.kept.splice(0)) send();
      }
    },
    /** What was kept back never comes. */
    cut,
  };
}
