import { Redis } from "ioredis";
import { type ConnectionHooks, redisOptions } from "./connect.js";
import { type KeyNames, tags } from "./keys.js";
import { type NodeOptions, openNode, type RedisNode } from "./node.js";

/** A primary, and the tags whose records are on it. */
export interface Share {
  readonly node: RedisNode;
  readonly tags: readonly string[];
}

/** Where records are: on one primary, or spread over those of a cluster by their tags. */
export interface Primaries {
  /** Asks the primary that has this tag, as `RedisNode.ask` does. */
  ask<T>(operation: string, tag: string, send: (node: RedisNode) => Promise<T>): Promise<T>;
  /** All of them, for what concerns every record. */
  shares(): readonly Share[];
  /** A connection that hears what any of them publishes; not yet connected. When it has ended another is asked for. */
  openSubscriber(): Redis;
  close(): Promise<void>;
}

export type PrimaryOptions = Omit<NodeOptions, "isClusterNode" | "onSilence"> & {
  readonly hooks: ConnectionHooks;
  readonly names: KeyNames;
};

/** One server at one address, or whichever the sentinels call the primary: the client finds it again by itself. */
export class OnePrimary implements Primaries {
  private constructor(
    private readonly node: RedisNode,
    private readonly options: PrimaryOptions,
  ) {}

  static async open(options: PrimaryOptions): Promise<OnePrimary> {
    return new OnePrimary(await openNode({ ...options, isClusterNode: false, onSilence: () => {} }), options);
  }

  ask<T>(operation: string, _tag: string, send: (node: RedisNode) => Promise<T>): Promise<T> {
    return this.node.ask(operation, send);
  }

  shares(): readonly Share[] {
    return [{ node: this.node, tags }];
  }

  openSubscriber(): Redis {
    const { scripts: _, ...options } = redisOptions(this.options.config);
    return new Redis(options);
  }

  async close(): Promise<void> {
    await this.node.close();
  }
}
