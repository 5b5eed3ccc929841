import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause, setImmediate as turn } from "node:timers/promises";
import { Random } from "../chaos/random.js";
import { reset } from "../spec/octets.js";
import { type AnswerScript, answerScript } from "./answer-scripts.js";
import { type Dispatched, markOf } from "./history.js";
import { type RequestRead, readRequests } from "./strict-reader.js";
import { writeInParts } from "./write-in-parts.js";

/** An upstream on bare sockets: writes down what it reads, strictly, and answers what its seed says. */
export class Recorder {
  readonly dispatches: Dispatched[] = [];
  readonly unreadable: string[] = [];
  readonly scripts = new Map<string, number>();
  readonly sockets = new Set<Socket>();
  readonly #server: Server;

  private constructor(private readonly random: Random) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.sockets.add(socket);
      socket.on("error", () => {}).once("close", () => this.sockets.delete(socket));
      new RecordedConnection(socket, this);
    });
  }

  static async start(seed: number): Promise<Recorder> {
    const recorder = new Recorder(new Random(seed));
    recorder.#server.listen(0, "127.0.0.1");
    await once(recorder.#server, "listening");
    return recorder;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  enter({ method, target, fields }: RequestRead): Dispatched {
    const serial = this.dispatches.length + 1;
    const unanswered = { script: "", answerBody: undefined, mayRelease: false, isCrossed: false };
    const dispatch: Dispatched = { serial, method, target, fields, body: "", isWhole: false, ...unanswered };
    this.dispatches.push(dispatch);
    return dispatch;
  }

  answer(dispatch: Dispatched, socket: Socket): Promise<AnswerScript> {
    const random = new Random(this.random.integer(0, 2 ** 31));
    const script = answerScript(markOf(dispatch.serial), random);
    dispatch.script = script.kind;
    dispatch.answerBody = script.body;
    dispatch.mayRelease = script.mayRelease;
    this.scripts.set(script.kind, (this.scripts.get(script.kind) ?? 0) + 1);
    // What is behind a head whose end is in doubt comes with it: later it could cross the next request.
    const splitBefore = script.body === undefined ? script.octets.indexOf("\r\n\r\n") : script.octets.length;
    return writeInParts(socket, script.octets, random, splitBefore).then(() => script);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

class RecordedConnection {
  #text = "";
  #dispatch: Dispatched | undefined;
  #last: Dispatched | undefined;
  #isAnswering = false;
  #stray: "no" | "on its way" | "seen" = "no";
  /** Whose answer the octets name that nobody asked for: others may have been answered since. */
  #strayOf: Dispatched | undefined;

  constructor(
    private readonly socket: Socket,
    private readonly recorder: Recorder,
  ) {
    socket.on("data", (octets: Buffer) => {
      this.#text += octets.toString("latin1");
      this.#read();
    });
    socket.on("end", () => {
      if (!this.#isAnswering) socket.end();
    });
  }

  #read(): void {
    if (this.#isAnswering || this.#text === "") return;
    const { messages, rest, why } = readRequests(this.#text);
    const [request] = messages;
    if (request !== undefined) {
      if (this.#dispatch === undefined) this.#begin(request);
      if (this.#dispatch === undefined) return;
      this.#dispatch.body = request.body;
      this.#dispatch.isWhole = request.isWhole;
    }
    if (request?.isWhole) {
      this.#text = this.#text.slice(request.end);
      void this.#answer(this.#dispatch as Dispatched);
    } else if (rest === "broken") {
      this.recorder.unreadable.push(`${why}: ${this.#text}`);
      this.socket.destroy();
    }
  }

  #begin(request: RequestRead): void {
    if (this.#stray === "seen") {
      this.recorder.unreadable.push(`a request behind octets that nobody asked for: ${this.#text}`);
      return void this.socket.destroy();
    }
    const before = this.#last;
    this.#last = this.#dispatch = this.recorder.enter(request);
    if (this.#stray === "no") return;
    this.#dispatch.isCrossed = true;
    for (const crossed of [before, this.#strayOf]) if (crossed !== undefined) crossed.isCrossed = true;
  }

  /** Gateway and upstream are one process: after some turns of its loop the gateway has read them. */
  async #writeLate(late: string, dispatch: Dispatched): Promise<void> {
    await pause(3);
    if (!this.socket.writable || this.#isAnswering || this.#dispatch !== undefined) return;
    this.#stray = "on its way";
    this.#strayOf = dispatch;
    this.socket.write(late, "latin1");
    for (let turns = 0; turns < 30; turns++) await turn();
    if (!this.#last?.isCrossed) this.#stray = "seen";
  }

  async #answer(dispatch: Dispatched): Promise<void> {
    const { socket } = this;
    this.#isAnswering = true;
    const { ending, late } = await this.recorder.answer(dispatch, socket);
    if (ending === "fin") socket.end();
    if (ending === "reset") reset(socket);
    if (ending !== "keep") return;
    if (late !== "") void this.#writeLate(late, dispatch);
    this.#isAnswering = false;
    this.#dispatch = undefined;
    if (socket.readableEnded) socket.end();
    this.#read();
  }
}
