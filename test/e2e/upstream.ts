import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** A request that reached the upstream whole. */
export interface Entry {
  readonly method: string;
  /** As it was sent. */
  readonly target: string;
  /** Without the query. */
  readonly path: string;
  readonly headers: readonly [name: string, value: string][];
  readonly trailers: readonly string[];
  readonly body: Buffer;
  readonly atMs: number;
}

export interface Call {
  readonly entry: Entry;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: Socket;
  /** 1 for the first request to this path. */
  readonly nth: number;
}

export type Behaviour = (call: Call) => unknown;

/** Like `Behaviour`, but called at the request's head: the body is its own to read, and the journal has none of it. */
export type StreamBehaviour = (request: IncomingMessage, response: ServerResponse) => unknown;
export type UpgradeBehaviour = (request: IncomingMessage, socket: Socket, head: Buffer) => unknown;

interface Owner {
  teardown(handler: () => unknown): void;
}

/** An API that writes down every request it carried out, and answers as its script says, path by path. */
export class Upstream {
  readonly journal: Entry[] = [];
  readonly sockets = new Set<Socket>();
  readonly #behaviours = new Map<string, Behaviour>();
  readonly #streams = new Map<string, StreamBehaviour>();
  readonly #upgrades = new Map<string, UpgradeBehaviour>();
  #onEntry: (() => void)[] = [];

  private constructor(readonly server: Server) {
    server.on("request", (request, response) => this.#take(request, response));
    server.on("checkContinue", (request, response) => this.#take(request, response));
    server.on("upgrade", (request, socket, head) => {
      const behaviour = this.#upgrades.get(pathOf(request));
      if (behaviour === undefined) socket.destroy();
      else behaviour(request, socket as Socket, head);
    });
    server.on("connection", (socket: Socket) => {
      this.sockets.add(socket);
      socket.once("close", () => this.sockets.delete(socket));
      socket.on("error", () => {});
    });
  }

  static async start(t: Owner): Promise<Upstream> {
    const upstream = new Upstream(createServer());
    upstream.server.listen(0, "127.0.0.1");
    await once(upstream.server, "listening");
    t.teardown(() => upstream.close());
    return upstream;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  on(path: string, behaviour: Behaviour): void {
    this.#behaviours.set(path, behaviour);
  }

  onStream(path: string, behaviour: StreamBehaviour): void {
    this.#streams.set(path, behaviour);
  }

  onUpgrade(path: string, behaviour: UpgradeBehaviour): void {
    this.#upgrades.set(path, behaviour);
  }

  entries(path: string): Entry[] {
    return this.journal.filter((entry) => entry.path === path);
  }

  count(path: string): number {
    return this.entries(path).length;
  }

  /** Until as many requests to this path have arrived. */
  async arrived(path: string, count = 1): Promise<void> {
    while (this.count(path) < count) {
      await new Promise<void>((resolve) => {
        this.#onEntry.push(resolve);
      });
    }
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = pathOf(request);
    const stream = this.#streams.get(path);
    if (stream !== undefined) {
      stream(request, response);
      return;
    }
    const parts: Buffer[] = [];
    try {
      for await (const part of request) parts.push(part as Buffer);
    } catch {
      return;
    }
    const entry: Entry = {
      method: request.method ?? "",
      target: request.url ?? "",
      path,
      headers: pairsOf(request.rawHeaders),
      trailers: request.rawTrailers,
      body: Buffer.concat(parts),
      atMs: performance.now(),
    };
    this.journal.push(entry);
    for (const resolve of this.#onEntry.splice(0)) resolve();
    const behaviour = this.#behaviours.get(path) ?? echo;
    await behaviour({ entry, request, response, socket: request.socket, nth: this.count(path) });
  }
}

/** 201 with the request in JSON and a number of its own. */
function echo({ entry, response, nth }: Call): void {
  response.writeHead(201, { "content-type": "application/json" });
  response.end(JSON.stringify({ nth, method: entry.method, target: entry.target, body: entry.body.toString() }));
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?", 1)[0] ?? "";
}

export function pairsOf(flat: readonly string[]): [name: string, value: string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([flat[at] as string, flat[at + 1] as string]);
  return pairs;
}

/** A behaviour that answers when the test says so. */
export class Gate {
  #open!: () => void;
  readonly opened = new Promise<void>((resolve) => {
    this.#open = resolve;
  });

  open(): void {
    this.#open();
  }

  /** First the gate, then the behaviour. */
  before(behaviour: Behaviour): Behaviour {
    return async (call) => {
      await this.opened;
      await behaviour(call);
    };
  }
}

export function answer(status: number, body: string | Buffer = "", headers: Record<string, string> = {}): Behaviour {
  return ({ response }) => {
    response.writeHead(status, { "content-length": String(Buffer.byteLength(body)), ...headers });
    response.end(body);
  };
}

/** Carried out, then cut off with a reset. */
export const resetAfter: Behaviour = ({ socket }) => socket.resetAndDestroy();

/** These octets, and then the end of the connection: node does not know that this request was answered. */
export function octets(text: string, end: "fin" | "rst" = "fin"): Behaviour {
  return ({ socket }) => {
    socket.write(Buffer.from(text, "latin1"), () => {
      if (end === "fin") socket.end();
      else socket.resetAndDestroy();
    });
  };
}
