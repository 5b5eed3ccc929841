import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket, connect as tcpConnect } from "node:net";

interface Owner {
  teardown(handler: () => unknown): void;
}

interface Line {
  readonly client: Socket;
  readonly server: Socket;
}

/**
 * A link of a network that the test owns: what goes in at its port comes out at the target's, unless the link is down,
 * slow, silent, or closed in one direction.
 */
export class Relay {
  readonly #lines = new Set<Line>();
  readonly #server: Server;
  #isUp = true;
  #isSilent = false;
  #delayMs = 0;
  #kept: (() => void)[] = [];

  private constructor(private targetPort: number) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#join(client));
  }

  static async start(owner: Owner, targetPort: number): Promise<Relay> {
    const relay = new Relay(targetPort);
    relay.#server.listen(0, "127.0.0.1");
    await once(relay.#server, "listening");
    owner.teardown(() => relay.#close());
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Whoever is connected is cut off. New connections work, unless the link is down. */
  cut(): void {
    this.#kept = [];
    for (const { client, server } of this.#lines) {
      reset(client);
      reset(server);
    }
  }

  /** Cut, and nobody gets through until `raise`. */
  drop(): void {
    this.#isUp = false;
    this.cut();
  }

  raise(): void {
    this.#isUp = true;
  }

  /** Every piece of data takes so much longer, in both directions. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  /** Connections stay, and nothing comes through; `speak` delivers what was kept back. */
  fallSilent(): void {
    this.#isSilent = true;
  }

  speak(): void {
    this.#isSilent = false;
    for (const deliver of this.#kept.splice(0)) deliver();
  }

  /** The end of the stream in one direction only; the other one stays open. */
  halfClose(towards: "server" | "client"): void {
    for (const line of this.#lines) line[towards].end();
  }

  /** Another server is behind it now, as behind an address that was moved. */
  lead(targetPort: number): void {
    this.targetPort = targetPort;
    this.cut();
  }

  #join(client: Socket): void {
    client.on("error", () => {});
    if (!this.#isUp) {
      client.resetAndDestroy();
      return;
    }
    const server = tcpConnect({ port: this.targetPort, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const line = { client, server };
    this.#lines.add(line);
    for (const socket of [client, server]) {
      socket.on("error", () => {});
      socket.on("close", (hadError) => {
        this.#lines.delete(line);
        const other = socket === client ? server : client;
        if (hadError) reset(other);
        else other.destroySoon();
      });
    }
    this.#carry(client, server);
    this.#carry(server, client);
  }

  /** One queue for each direction, so that nothing overtakes. */
  #carry(from: Socket, to: Socket): void {
    const queue: { readonly dueMs: number; readonly deliver: () => void }[] = [];
    const drain = () => {
      while (queue.length > 0) {
        const leftMs = queue[0]!.dueMs - performance.now();
        if (leftMs > 0) {
          setTimeout(drain, leftMs);
          return;
        }
        queue.shift()!.deliver();
      }
    };
    const pass = (deliver: () => void) => {
      if (this.#isSilent) {
        this.#kept.push(deliver);
        return;
      }
      queue.push({ dueMs: performance.now() + this.#delayMs, deliver });
      if (queue.length === 1) drain();
    };
    from.on("data", (chunk) => pass(() => to.writable && to.write(chunk)));
    from.on("end", () => pass(() => to.end()));
  }

  async #close(): Promise<void> {
    this.cut();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}

/** After a FIN node refuses to send a reset, and then leaves the handle open and its loop spinning (seen with 20.20). */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
