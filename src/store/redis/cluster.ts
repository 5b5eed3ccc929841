import { Redis } from "ioredis";
import type { RedisConfig } from "../../config/config.js";
import { StoreUnavailableError } from "../record-store.js";
import { connectRedis, nodeConfig, placeOf, redisOptions } from "./connect.js";
import { tags } from "./keys.js";
import { openNode, type RedisNode } from "./node.js";
import type { Primaries, PrimaryOptions, Share } from "./primaries.js";
import { readSlots, redirection, type SlotMap, slotOf } from "./slots.js";

type ClusterOptions = PrimaryOptions & { readonly config: RedisConfig & { cluster: { nodes: readonly string[] } } };

/** After something pointed to a change of the map, and again while a primary does not answer, ms. */
const lookAfterMs = 100;
const lookAgainMs = 500;
const lookTimeoutMs = 1_000;
const mostRedirections = 2;
const quiet = { onTrouble: () => {}, onRecovery: () => {} };

/**
 * The primaries of a cluster, each with a connection, a clock and a breaker of its own: one that is dead costs its own
 * records nothing but an error at once, and the others nothing at all. Who has which slot is read from the nodes, and
 * read anew when one of them says that a slot has moved, or stops answering.
 *
 * This is not the cluster client of ioredis, because that one sends a command again whose connection broke, and knows
 * one command timeout and no breaker for all of its nodes together.
 */
export class ClusterPrimaries implements Primaries {
  readonly #nodes = new Map<string, RedisNode>();
  readonly #opening = new Map<string, Promise<RedisNode>>();
  readonly #owners = new Map<string, string>();
  readonly #told = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #isOpen = false;
  #isClosed = false;

  private constructor(private readonly options: ClusterOptions) {}

  /** All of its primaries have to answer: nobody can say of a server that is away whether it may evict records. */
  static async open(options: ClusterOptions): Promise<ClusterPrimaries> {
    const db = new URL(options.config.url).pathname.slice(1);
    if (Number(db) !== 0) throw new Error(`store.url: a cluster has no database ${db}, only 0`);
    const primaries = new ClusterPrimaries(options);
    try {
      primaries.#learn(await slotsFrom(options));
      const places = primaries.#places();
      if (primaries.#owners.size < tags.length) {
        throw new Error(`Redis at ${placeOf(options.config)} does not serve all slots`);
      }
      await Promise.all(places.map((address) => primaries.#nodeAt(address)));
      primaries.#isOpen = true;
      return primaries;
    } catch (error) {
      await primaries.close();
      throw error;
    }
  }

  async ask<T>(operation: string, tag: string, send: (node: RedisNode) => Promise<T>): Promise<T> {
    const { config } = this.options;
    let address = this.#owners.get(tag);
    let ask = send;
    for (let turn = 0; ; turn++) {
      const node = address === undefined ? undefined : this.#nodes.get(address);
      if (node === undefined) {
        this.#lookSoon();
        throw new StoreUnavailableError(operation, false);
      }
      try {
        return await node.ask(operation, ask);
      } catch (error) {
        const words = error instanceof StoreUnavailableError && error.cause instanceof Error ? error.cause.message : "";
        if (/^(MOVED|CLUSTERDOWN|READONLY)/.test(words)) this.#lookSoon();
        const other = redirection(words, address!);
        if (other === undefined || turn === mostRedirections) throw error;
        address = other.address;
        if (other.isMoved) this.#owners.set(tag, address);
        // A slot that is on its way: this once, and the question is still put to the old owner the next time.
        ask = other.isMoved ? send : (node) => asking(node, send);
        await this.#openWithin(address, config.commandTimeoutMs);
      }
    }
  }

  shares(): readonly Share[] {
    return this.#places().flatMap((address) => {
      const node = this.#nodes.get(address);
      const owned = tags.filter((tag) => this.#owners.get(tag) === address);
      if (node === undefined) throw new StoreUnavailableError("list", false);
      return [{ node, tags: owned }];
    });
  }

  openSubscriber(): Redis {
    const answering = [...this.#nodes].filter(([, node]) => node.isAnswering).map(([address]) => address);
    const places = answering.length > 0 ? answering : this.options.config.cluster.nodes;
    const address = places[Math.floor(Math.random() * places.length)]!;
    const { scripts: _, ...options } = redisOptions(nodeConfig(this.options.config, address));
    // It ends with its node, and the next one may go to another.
    return new Redis({ ...options, retryStrategy: () => null });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await Promise.allSettled(this.#opening.values());
    await Promise.all([...this.#nodes.values()].map((node) => node.close()));
    this.#nodes.clear();
  }

  #places(): string[] {
    return [...new Set(this.#owners.values())];
  }

  #nodeAt(address: string): Promise<RedisNode> {
    const known = this.#nodes.get(address);
    if (known !== undefined) return Promise.resolve(known);
    const begun = this.#opening.get(address) ?? this.#openAt(address);
    this.#opening.set(address, begun);
    return begun;
  }

  /** A request that was sent on waits for a new node no longer than for an answer. */
  async #openWithin(address: string, timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeoutMs)));
    await Promise.race([this.#nodeAt(address).catch(() => {}), over]);
    clearTimeout(timer);
  }

  async #openAt(address: string): Promise<RedisNode> {
    const { config, ...options } = this.options;
    try {
      const onSilence = () => this.#lookSoon();
      // The whole start timeout is for the start: later the next look is not far.
      const startTimeoutMs = this.#isOpen ? lookTimeoutMs : options.startTimeoutMs;
      const node = await openNode({
        ...options,
        config: nodeConfig(config, address),
        startTimeoutMs,
        isClusterNode: true,
        onSilence,
      });
      this.#nodes.set(address, node);
      return node;
    } finally {
      this.#opening.delete(address);
    }
  }

  /** Slots that nobody serves right now stay where they were: their server may come back. */
  #learn(map: SlotMap): void {
    for (const tag of tags) {
      const owner = map(slotOf(tag));
      if (owner !== undefined) this.#owners.set(tag, owner);
    }
  }

  #lookSoon(afterMs = lookAfterMs): void {
    if (this.#isClosed || this.#timer !== undefined || this.#isLooking) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#isLooking = true;
      void this.#look().finally(() => {
        this.#isLooking = false;
        if (!this.#isWhole()) this.#lookSoon(lookAgainMs);
      });
    }, afterMs);
  }

  #isWhole(): boolean {
    return this.#places().every((address) => this.#nodes.get(address)?.isAnswering);
  }

  /** Each thing once, however often it is looked at. */
  #tell(trouble: string): void {
    if (this.#told.has(trouble)) return;
    this.#told.add(trouble);
    this.options.hooks.onTrouble(trouble);
  }

  async #look(): Promise<void> {
    const answering = [...this.#nodes].filter(([, node]) => node.isAnswering);
    const [address, node] = answering[Math.floor(Math.random() * answering.length)] ?? [];
    try {
      const hasty = { ...this.options, startTimeoutMs: lookTimeoutMs };
      this.#learn(node === undefined ? await slotsFrom(hasty) : await readSlots(node.client, address!));
    } catch {
      return;
    }
    const places = this.#places();
    const opened = await Promise.allSettled(places.map((place) => this.#nodeAt(place)));
    for (const { reason } of opened.filter((one) => one.status === "rejected")) this.#tell((reason as Error).message);
    if (this.#isWhole()) this.#told.clear();
    for (const [place, node] of this.#nodes) {
      if (places.includes(place)) continue;
      this.#nodes.delete(place);
      void node.close();
    }
  }
}

/**
 * All is written before anybody else can write to the connection. A node that is only about to own the slot may not know
 * the scripts yet, and one that is sent whole after that would have to ask anew.
 */
function asking<T>(node: RedisNode, send: (node: RedisNode) => Promise<T>): Promise<T> {
  node.client.teach().catch(() => {});
  node.client.call("ASKING").catch(() => {});
  return send(node);
}

/** From the configured nodes, one after the other, until one answers. */
async function slotsFrom({ config, startTimeoutMs }: ClusterOptions): Promise<SlotMap> {
  let reason: Error | undefined;
  for (const address of config.cluster.nodes) {
    try {
      const { client, close } = await connectRedis(nodeConfig(config, address), quiet, startTimeoutMs);
      try {
        return await readSlots(client, address);
      } finally {
        await close();
      }
    } catch (error) {
      reason = error as Error;
    }
  }
  throw reason ?? new Error("store.cluster.nodes is empty");
}

/** The primaries as they are now, for a look at each. */
export async function primaryConfigs(config: RedisConfig, startTimeoutMs: number): Promise<RedisConfig[]> {
  const { cluster } = config;
  if (cluster === null) return [config];
  const map = await slotsFrom({ config: { ...config, cluster }, startTimeoutMs } as ClusterOptions);
  const places = new Set(tags.map((tag) => map(slotOf(tag))));
  return [...places].flatMap((address) => (address === undefined ? [] : [nodeConfig(config, address)]));
}
