/**
 * What of `redlock` 5.0.0-beta.2 is used here. It has types of its own, but its `exports` do not lead to them, so under
 * NodeNext it counts as untyped.
 */
declare module "redlock" {
  /** All that is asked of a client: two commands, with an array where ioredis takes a list as well. */
  export interface Client {
    evalsha(hash: string, numberOfKeys: number, args: readonly (string | number)[]): Promise<unknown>;
    eval(script: string, numberOfKeys: number, args: readonly (string | number)[]): Promise<unknown>;
  }

  export interface ExecutionStats {
    readonly votesFor: ReadonlySet<Client>;
    readonly votesAgainst: ReadonlyMap<Client, Error>;
  }

  export interface Settings {
    readonly retryCount: number;
  }

  /** A vote against: the name is taken, or, of an extension or a release, not ours. */
  export class ResourceLockedError extends Error {}

  /** No majority, whatever the reason. Each attempt resolves when all its votes are in, and never rejects. */
  export class ExecutionError extends Error {
    readonly attempts: readonly Promise<ExecutionStats>[];
  }

  export class Lock {
    constructor(
      redlock: Redlock,
      resources: string[],
      value: string,
      attempts: readonly Promise<ExecutionStats>[],
      /** By the wall clock; `extend` refuses once it is past. */
      expiration: number,
    );
    readonly value: string;
  }

  export default class Redlock {
    constructor(clients: Iterable<Client>, settings: Settings);
    /** Whole milliseconds. */
    acquire(resources: string[], ttlMs: number, settings: Settings): Promise<Lock>;
    extend(lock: Lock, ttlMs: number, settings: Settings): Promise<Lock>;
    release(lock: Lock, settings: Settings): Promise<unknown>;
  }
}
