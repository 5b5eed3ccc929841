import { createServer } from "node:net";

const firstPort = 15_000;
const lastPort = 32_000;
/** Whoever was given one may not listen on it yet. */
const given = new Set<number>();

/**
 * A port nobody listens on now. Below the range that the kernel takes ports of outgoing connections from, so that a
 * server which is killed and started again finds it free.
 */
export async function freePort(): Promise<number> {
  for (let turn = 0; turn < 100; turn++) {
    const port = firstPort + Math.floor(Math.random() * (lastPort - firstPort));
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${firstPort} and ${lastPort}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
