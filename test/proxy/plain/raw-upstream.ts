import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Outcome } from "../../../src/model.js";
import { callPlainly, type WholeDispatch } from "../../../src/proxy/plain/plain-call.js";
import { UpstreamPool, type UpstreamPoolOptions } from "../../../src/proxy/plain/upstream-pool.js";
import { Seats } from "../../../src/proxy/seats.js";

interface Owner {
  teardown(handler: () => unknown): void;
}

/** A request as it came over the wire. */
export interface Asked {
  readonly socket: Socket;
  /** 1 for those of the first connection. */
  readonly connection: number;
  /** 1 for the first of all. */
  readonly nth: number;
  readonly head: string;
  readonly body: string;
}

/** A server that knows no HTTP but where a request with a length ends; what it answers is the test's to write. */
export class RawUpstream {
  readonly sockets: Socket[] = [];
  readonly asked: Asked[] = [];
  /** Called at each whole request. */
  answer: (asked: Asked) => void = ({ socket, body }) => say(socket, ok(body));
  /** Called at each connection. */
  met: (socket: Socket) => void = () => {};

  private constructor(private readonly server: Server) {
    server.on("connection", (socket) => this.#meet(socket));
  }

  static async start(t: Owner): Promise<RawUpstream> {
    const upstream = new RawUpstream(createServer({ noDelay: true }));
    upstream.server.listen(0, "127.0.0.1");
    await once(upstream.server, "listening");
    t.teardown(() => {
      for (const socket of upstream.sockets) socket.destroy();
      upstream.server.close();
    });
    return upstream;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async arrived(count: number): Promise<void> {
    await until(() => this.asked.length >= count);
  }

  #meet(socket: Socket): void {
    const connection = this.sockets.push(socket);
    let text = "";
    socket.on("error", () => {});
    this.met(socket);
    socket.setEncoding("latin1").on("data", (part: string) => {
      text += part;
      for (;;) {
        const bodyAt = text.indexOf("\r\n\r\n") + 4;
        const end = bodyAt + Number(/\r\nContent-Length: (\d+)/.exec(text)?.[1] ?? 0);
        if (bodyAt < 4 || text.length < end) return;
        const asked = { head: text.slice(0, bodyAt), body: text.slice(bodyAt, end) };
        text = text.slice(end);
        const nth = this.asked.length + 1;
        this.asked.push({ socket, connection, nth, ...asked });
        this.answer({ socket, connection, nth, ...asked });
      }
    });
  }
}

export const ok = (body: string, ...lines: string[]) =>
  ["HTTP/1.1 200 OK", ...lines, `Content-Length: ${body.length}`, "", body].join("\r\n");

/** One octet for each character. */
export const say = (socket: Socket, text: string) => void socket.write(text, "latin1");

export function openPool(
  t: Owner,
  port: number,
  { connections = 8, ...options }: Partial<UpstreamPoolOptions> & { connections?: number } = {},
): UpstreamPool {
  const address = { host: "127.0.0.1", port };
  const usual = { address, connectTimeoutMs: 2_000, keepAliveMs: 60_000 };
  const pool = new UpstreamPool({ ...usual, ...options }, new Seats(connections));
  t.teardown(() => pool.destroy());
  return pool;
}

export function call(pool: UpstreamPool, changes: Partial<WholeDispatch> = {}): Promise<Outcome> {
  const dispatch: WholeDispatch = {
    origin: "http://127.0.0.1",
    method: "POST",
    target: "/pay",
    headers: ["Host", "a"],
    body: Buffer.from("body"),
    timeoutMs: 10_000,
    maxStoredBytes: 64 * 1024,
    ...changes,
  };
  return new Promise((resolve) => callPlainly(pool, dispatch, resolve));
}

/** An outcome in a few words: `200 body`, `unanswered reset`, `unsent`. */
export async function told(outcome: Outcome | Promise<Outcome>): Promise<string> {
  const of = await outcome;
  if (of.kind === "answered") return `${of.response.status} ${of.response.body.toString("latin1")}`;
  if (of.kind === "unanswered") return `unanswered ${of.cause}`;
  if (of.kind === "unsent") return "unsent";
  return "streamed";
}

export async function until(isSo: () => boolean): Promise<void> {
  const endMs = performance.now() + 10_000;
  while (!isSo()) {
    if (performance.now() > endMs) throw new Error("it never came");
    await pause(2);
  }
}
