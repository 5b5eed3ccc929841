import type { Redis } from "ioredis";

const reopenMs = 200;

/**
 * Hears of changes other processes make, over a connection of its own, opened at the first watch. Channels are
 * subscribed to one record at a time: a process hears only what somebody in it waits for.
 *
 * What was said before a subscription was confirmed, or while the connection was down, was not heard. So every
 * confirmation wakes as well, and the watcher reads once more.
 */
export class Wakes {
  readonly #watchers = new Map<string, Set<() => void>>();
  #connection: Redis | undefined;
  #isClosed = false;

  constructor(
    private readonly open: () => Redis,
    private readonly onTrouble: (text: string) => void,
    /** How often a connection that somebody relies on is asked whether it still lives. */
    private readonly heartbeatMs = 5_000,
  ) {}

  watch(channel: string, wake: () => void): () => void {
    let wakes = this.#watchers.get(channel);
    if (wakes === undefined) {
      wakes = new Set();
      this.#watchers.set(channel, wakes);
      this.#subscribe([channel]);
    }
    // Two watchers may bring the same function; each is to be stopped alone.
    const own = () => wake();
    wakes.add(own);
    return () => this.#unwatch(channel, own);
  }

  #unwatch(channel: string, wake: () => void): void {
    const wakes = this.#watchers.get(channel);
    if (wakes === undefined || !wakes.delete(wake) || wakes.size > 0) return;
    this.#watchers.delete(channel);
    if (this.#connection?.status === "ready") this.#connection.unsubscribe(channel).catch(() => {});
  }

  #subscribe(channels: string[]): void {
    const connection = this.#connected();
    if (connection.status !== "ready" || channels.length === 0) return;
    connection.subscribe(...channels).then(
      () => channels.forEach((channel) => void this.#wake(channel)),
      // Watchers then rely on their own clocks, which is slower. They are not woken: a connection that is about to close
      // refuses at once, a watcher that is woken watches again, and the two of them would never let it close.
      (error: Error) => {
        if (error.name === "ReplyError") this.onTrouble(`Redis refuses SUBSCRIBE: ${error.message}`);
      },
    );
  }

  #connected(): Redis {
    if (this.#connection !== undefined) return this.#connection;
    const connection = this.open();
    this.#connection = connection;
    connection.on("message", (channel: string) => this.#wake(channel));
    connection.on("ready", () => this.#subscribe([...this.#watchers.keys()]));
    // The connection for commands goes the same way and reports it.
    connection.on("error", () => {});
    const heartbeat = setInterval(() => this.#beat(connection), this.heartbeatMs).unref();
    // One that has ended does not come back: in a cluster the next one leads to another node.
    connection.on("end", () => {
      clearInterval(heartbeat);
      if (!this.#isClosed) setTimeout(() => this.#openAgain(connection), reopenMs).unref();
    });
    connection.connect().catch(() => {});
    return connection;
  }

  #openAgain(ended: Redis): void {
    if (this.#isClosed || this.#connection !== ended) return;
    this.#connection = undefined;
    if (this.#watchers.size > 0) this.#connected();
  }

  /** A half-open connection is silent for good, and so is one on which nothing happens: only an answer tells them apart. */
  #beat(connection: Redis): void {
    if (this.#watchers.size === 0 || connection.status !== "ready") return;
    connection.ping().catch(() => {
      if (connection.status === "ready") connection.disconnect(true);
    });
  }

  #wake(channel: string): void {
    for (const wake of [...(this.#watchers.get(channel) ?? [])]) wake();
  }

  close(): void {
    this.#isClosed = true;
    this.#watchers.clear();
    this.#connection?.disconnect();
  }
}
