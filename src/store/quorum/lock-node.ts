import type { Redis } from "ioredis";
import type { RedisConfig } from "../../config/config.js";
import { Breaker } from "../redis/breaker.js";
import { type Connection, type ConnectionHooks, connectRedis, placeOf } from "../redis/connect.js";
import { inspectRedis } from "../redis/preflight.js";
import type { VotingNode } from "./quorum-locks.js";

/** Of a node that has not answered at the start: how long each further attempt may take, and the pause before it, ms. */
const attemptMs = 1_000;

/** One of the nodes, as `redlock` sees it. While the node is away every command is rejected at once. */
export class LockNode implements VotingNode {
  readonly place: string;
  #connection: Connection | undefined;
  #isClosed = false;
  readonly #breaker: Breaker;

  constructor(
    private readonly config: RedisConfig,
    private readonly hooks: ConnectionHooks,
  ) {
    this.place = placeOf(config);
    this.#breaker = new Breaker({
      probe: () => this.#ready().ping(),
      missesToOpen: 3,
      probeEveryMs: config.commandTimeoutMs,
      missesToSilence: 10,
      onOpen: () => hooks.onTrouble(`Redis at ${this.place} has stopped answering`),
      onClose: () => hooks.onRecovery(`Redis at ${this.place} answers again`),
      onSilence: () => this.#connection?.client.disconnect(true),
    });
  }

  /** Rejects when the first attempt fails, with one plain sentence; further ones are made until `close`. */
  async connect(startTimeoutMs: number): Promise<void> {
    try {
      await this.#attempt(startTimeoutMs);
    } catch (error) {
      void this.#keepTrying();
      throw error;
    }
  }

  async #attempt(timeoutMs: number): Promise<void> {
    const connection = await connectRedis(this.config, this.hooks, timeoutMs);
    if (this.#isClosed) return connection.close();
    this.#connection = connection;
    connection.client.on("ready", () => {
      this.#breaker.answered();
      this.#inspect(connection.client);
    });
    this.#inspect(connection.client);
  }

  async #keepTrying(): Promise<void> {
    while (!this.#isClosed) {
      await new Promise((resolve) => setTimeout(resolve, attemptMs).unref());
      if (this.#isClosed) return;
      try {
        await this.#attempt(attemptMs);
        if (!this.#isClosed) this.hooks.onRecovery(`Redis at ${this.place} answers now`);
        return;
      } catch {
        // Told once, by whoever called `connect`.
      }
    }
  }

  #inspect(client: Redis): void {
    inspectRedis(client).then(
      (facts) => {
        const at = `Redis at ${this.place}`;
        if (facts.role !== "master") this.hooks.onTrouble(`${at} is a replica and grants no locks`);
        if (facts.mayEvict) this.hooks.onTrouble(`${at} may evict locks: set its maxmemory-policy to noeviction`);
      },
      () => {},
    );
  }

  /**
   * Makes `redlock` send the script itself, each time. By its hash it would be one exchange most of the time and two
   * after a restart, and then a later command could overtake an earlier one: a release its own claim.
   */
  evalsha(): Promise<never> {
    return Promise.reject(new Error("NOSCRIPT"));
  }

  async eval(script: string, numberOfKeys: number, args: readonly (string | number)[]): Promise<unknown> {
    return this.#ask((client) => client.eval(script, numberOfKeys, ...args));
  }

  async remainingMs(name: string): Promise<number> {
    return Math.max(0, await this.#ask((client) => client.pttl(name)));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#breaker.stop();
    await this.#connection?.close();
  }

  async #ask<T>(send: (client: Redis) => Promise<T>): Promise<T> {
    if (this.#breaker.isOpen) throw new Error(`${this.place}: has stopped answering`);
    try {
      const reply = await send(this.#ready());
      this.#breaker.answered();
      return reply;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason === "Command timed out") this.#breaker.missed();
      // Only the message goes on: the error itself carries the command's arguments, and those end in no log.
      throw new Error(`${this.place}: ${reason}`);
    }
  }

  #ready(): Redis {
    const client = this.#connection?.client;
    if (client?.status !== "ready") throw new Error("not connected");
    return client;
  }
}
