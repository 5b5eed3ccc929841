import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface RawResponse {
  readonly status: number;
  readonly reason: string;
  /** As on the wire: order, repeats and letter case. */
  readonly headers: readonly [name: string, value: string][];
  readonly body: Buffer;
  readonly trailers: readonly [name: string, value: string][];
  /** Status codes of the 1xx answers before it. */
  readonly interim: readonly number[];
}

const patienceMs = 15_000;

/** HTTP/1.1 over a bare socket: what is written is what is sent, what was received can be looked at byte for byte. */
export class RawClient {
  #space: Buffer = Buffer.alloc(4096);
  #receivedBytes = 0;
  #readBytes = 0;
  #isEnded = false;
  #changed: () => void = () => {};

  private constructor(readonly socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.#keep(chunk);
      this.#changed();
    });
    for (const event of ["end", "close", "error"]) {
      socket.on(event, () => {
        this.#isEnded = true;
        this.#changed();
      });
    }
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.setNoDelay(true);
    return new RawClient(socket);
  }

  /** One request on a connection of its own. `head` has no empty line at its end. */
  static async exchange(port: number, head: string, body: string | Buffer = ""): Promise<RawResponse> {
    const client = await RawClient.connect(port);
    try {
      client.write(`${head}\r\n\r\n`);
      client.write(body);
      return await client.response(head.split(" ", 1)[0]);
    } finally {
      client.hangUp();
    }
  }

  /** Every byte that came, in order. */
  get received(): Buffer {
    return this.#space.subarray(0, this.#receivedBytes);
  }

  get #unread(): Buffer {
    return this.#space.subarray(this.#readBytes, this.#receivedBytes);
  }

  /** Text goes out as Latin-1, octet for octet. */
  write(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  hangUp(): void {
    this.socket.destroy();
  }

  /** Waits for the other side to end the connection. */
  async ended(): Promise<void> {
    while (!this.#isEnded) await this.#more();
  }

  /** The head alone: of the final answer, or of an interim one. */
  async head(): Promise<Pick<RawResponse, "status" | "reason" | "headers">> {
    const [line = "", ...fields] = (await this.#until("\r\n\r\n")).split("\r\n");
    const [, status, reason] = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(line) ?? [];
    if (status === undefined) throw new Error(`not a status line: ${JSON.stringify(line)}`);
    return { status: Number(status), reason: reason ?? "", headers: fields.map(fieldOf) };
  }

  async response(method = "GET"): Promise<RawResponse> {
    const interim: number[] = [];
    let head = await this.head();
    while (head.status < 200 && head.status !== 101) {
      interim.push(head.status);
      head = await this.head();
    }
    const header = (name: string) => head.headers.find(([known]) => known.toLowerCase() === name)?.[1];
    const isBodiless = method === "HEAD" || head.status === 101 || head.status === 204 || head.status === 304;
    if (isBodiless) return { ...head, body: Buffer.alloc(0), trailers: [], interim };
    if (header("transfer-encoding") === "chunked") return { ...head, ...(await this.#chunked()), interim };
    const length = header("content-length");
    if (length !== undefined) return { ...head, body: await this.bytes(Number(length)), trailers: [], interim };
    await this.ended();
    return { ...head, body: await this.bytes(this.#unread.length), trailers: [], interim };
  }

  async bytes(count: number): Promise<Buffer> {
    while (this.#unread.length < count) await this.#more();
    const taken = this.#unread.subarray(0, count);
    this.#readBytes += count;
    return taken;
  }

  async #chunked(): Promise<Pick<RawResponse, "body" | "trailers">> {
    const parts: Buffer[] = [];
    for (;;) {
      const size = Number.parseInt(await this.#until("\r\n"), 16);
      if (size === 0) break;
      parts.push(await this.bytes(size));
      await this.#until("\r\n");
    }
    const trailers: [string, string][] = [];
    for (let line = await this.#until("\r\n"); line !== ""; line = await this.#until("\r\n")) {
      trailers.push(fieldOf(line));
    }
    return { body: Buffer.concat(parts), trailers };
  }

  async #until(mark: string): Promise<string> {
    let at = this.#unread.indexOf(mark);
    while (at < 0) {
      await this.#more();
      at = this.#unread.indexOf(mark);
    }
    const text = this.#unread.toString("latin1", 0, at);
    this.#readBytes += at + mark.length;
    return text;
  }

  /** The space doubles: an answer of many megabytes is not copied anew with each piece. */
  #keep(chunk: Buffer): void {
    const needed = this.#receivedBytes + chunk.length;
    if (needed > this.#space.length)
      this.#space = Buffer.concat([this.received], Math.max(needed, 2 * this.#space.length));
    chunk.copy(this.#space, this.#receivedBytes);
    this.#receivedBytes = needed;
  }

  #more(): Promise<void> {
    if (this.#isEnded)
      throw new Error(`the connection ended after ${JSON.stringify(this.received.toString("latin1"))}`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nothing came for ${patienceMs} ms`)), patienceMs);
      this.#changed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function fieldOf(line: string): [name: string, value: string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).trim()];
}
