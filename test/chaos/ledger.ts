import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { reset } from "../relay.js";
import { type Dispatch, type History, releaseStatuses } from "./history.js";
import { calm, type DispatchPlan, type Plan } from "./plan.js";

interface Account {
  readonly history: History;
  readonly plan: Plan;
}

export interface Hooks {
  now(): number;
  /** kill -9 of the gateway that listens there. */
  kill(port: number): void;
}

/** What a probe answers that is neither yes nor no. */
const unclearStatus = 418;

/** The upstream of a chaos run: does as each key's plan says, and its journal is the truth about what was executed. */
export class Ledger {
  /** Everything is well-behaved from now on. */
  isCalm = false;
  readonly #accounts = new Map<string, Account>();
  readonly #byKey = new Map<string, History>();
  readonly #sockets = new Set<Socket>();
  readonly #busy = new Set<Socket>();
  readonly #server: Server;
  #port = 0;
  #probes = 0;

  constructor(private readonly hooks: Hooks) {
    this.#server = createServer((request, response) => void this.#take(request, response).catch(() => {}));
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  get port(): number {
    return this.#port;
  }

  open(account: Account): void {
    const { key, sentKey, tenant } = account.history;
    this.#accounts.set(placeOf(sentKey, tenant), account);
    this.#byKey.set(key, account.history);
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Nobody listens, and whatever was under way is cut off. */
  async goDown(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) reset(socket);
    await closed;
  }

  /** As servers do with connections that were kept alive long enough; a request may be on its way. */
  dropIdle(how: "fin" | "rst"): void {
    for (const socket of this.#sockets) {
      if (this.#busy.has(socket)) continue;
      if (how === "fin") socket.end();
      else reset(socket);
    }
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    this.#busy.add(socket);
    response.once("close", () => this.#busy.delete(socket));
    // Named here, it is not joined by a hint of how long the connection will be kept.
    response.setHeader("connection", "keep-alive");
    let body = "";
    for await (const part of request.setEncoding("utf8")) body += part;
    const probed = /^\/probe-of\/(.+)$/.exec(request.url ?? "")?.[1];
    if (probed !== undefined) return this.#probe(probed, response);
    const { authorization, "idempotency-key": key } = request.headers;
    const account = this.#accounts.get(placeOf(String(key), String(authorization)));
    if (account === undefined) throw new Error("a request without a history");
    const { history, plan } = account;
    const n = history.dispatches.length + 1;
    const script = (this.isCalm ? undefined : plan.dispatches[n - 1]) ?? calm;
    const dispatch: Dispatch = {
      n,
      variant: JSON.parse(body).variant,
      atMs: this.hooks.now(),
      behaviour: script.behaviour,
      status: script.status,
      body: JSON.stringify({ key: history.key, n, number: "9007199254740993", pad: "é".repeat(script.padding) }),
      isExecuted: !["vanish", "release", "unknown"].includes(script.behaviour),
      answeredAtMs: null,
      endedAtMs: null,
    };
    history.dispatches.push(dispatch);
    response.once("close", () => {
      dispatch.endedAtMs = this.hooks.now();
    });
    const port = Number(request.headers.host?.split(":")[1]);
    if (script.kill === "on arrival") this.hooks.kill(port);
    await this.#perform(script, dispatch, response, socket);
    if (script.kill === "on answer") this.hooks.kill(port);
  }

  async #perform(script: DispatchPlan, dispatch: Dispatch, response: ServerResponse, socket: Socket): Promise<void> {
    if (script.delayMs > 0) await pause(script.delayMs);
    if (script.behaviour === "hang") return;
    if (script.behaviour === "reset" || script.behaviour === "vanish") {
      reset(socket);
      return;
    }
    const bytes = Buffer.from(dispatch.body);
    response.writeHead(dispatch.status, { "content-type": "application/json", "x-dispatch": String(dispatch.n) });
    if (script.behaviour === "half") {
      response.write(bytes.subarray(0, bytes.length / 2), () => socket.destroy());
      return;
    }
    // Into a connection that is gone nothing can be answered.
    if (!socket.destroyed) dispatch.answeredAtMs = this.hooks.now();
    response.end(bytes);
  }

  #probe(key: string, response: ServerResponse): void {
    const dispatches = this.#byKey.get(key)?.dispatches ?? [];
    const done = dispatches.find(({ isExecuted, status }) => isExecuted && !releaseStatuses.has(status));
    this.#probes += 1;
    if (!this.isCalm && this.#probes % 7 === 0) response.writeHead(unclearStatus).end();
    else if (done === undefined) response.writeHead(404).end();
    else
      response
        .writeHead(done.status, { "content-type": "application/json", "x-dispatch": String(done.n) })
        .end(done.body);
  }
}

function placeOf(sentKey: string, tenant: string): string {
  return `${tenant} ${sentKey}`;
}
