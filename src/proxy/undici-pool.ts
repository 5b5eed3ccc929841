import type { Socket } from "node:net";
import { TurnoverSet } from "../turnover.js";
import type { Dispatching } from "./exchange.js";
import type { Seats } from "./seats.js";
import {
  type UndiciCall,
  UndiciConnection,
  type UndiciConnectionOptions,
  type UndiciRequest,
} from "./undici-connection.js";

/**
 * The connections of undici's to one upstream. One that a user is bound to (NTLM and its kin) belongs to that client's
 * connection, serves no other, and ends with it.
 */
export class UndiciPool {
  /** The last one used last: it is the one least likely to have been closed. */
  readonly #idle: UndiciConnection[] = [];
  readonly #all = new TurnoverSet<UndiciConnection>();
  readonly #bound = new Map<Socket, Set<UndiciConnection>>();
  #isClosed = false;
  #isDestroyed = false;

  constructor(private readonly options: UndiciConnectionOptions) {}

  /** The pool for those requests that this limit holds. */
  within(limit: Seats): Dispatching {
    return { dispatch: (request, call) => this.#dispatch(request, call, limit) };
  }

  /** Whether this client has a connection of its own. */
  hasBound(owner: Socket | undefined): boolean {
    return this.#bound.size > 0 && owner !== undefined && this.#bound.has(owner);
  }

  /** Keeps no connection any more; ends with the last of the calls that wait or run. */
  close(): void {
    this.#isClosed = true;
    for (const connection of this.#all) if (!connection.isBusy) this.#drop(connection);
  }

  /** Cuts what still runs, and sends nothing from here on. */
  destroy(): void {
    this.#isDestroyed = true;
    for (const connection of this.#all) this.#drop(connection);
  }

  #dispatch(request: UndiciRequest, call: UndiciCall, limit: Seats): void {
    if (limit.take()) this.#send(request, call, limit);
    else call.onOver = limit.wait(() => this.#send(request, call, limit));
  }

  #send(request: UndiciRequest, call: UndiciCall, limit: Seats): void {
    if (call.isOver) return limit.give();
    if (this.#isDestroyed) {
      limit.give();
      call.onError?.(new Error("the gateway ends"));
      return;
    }
    const connection = this.#connectionFor(call);
    let isSeated = true;
    call.onOver = (isComplete) => {
      if (!isSeated) return;
      isSeated = false;
      if (!isComplete) {
        this.#drop(connection);
        limit.give();
        return;
      }
      // Not before undici has looked at what else the answer means for its connection.
      process.nextTick(() => {
        this.#release(connection);
        limit.give();
      });
    };
    try {
      connection.send(request, call);
    } catch (error) {
      call.onError?.(error as Error);
    }
  }

  #connectionFor(call: UndiciCall): UndiciConnection {
    const own = this.#bound.size > 0 && call.owner !== undefined ? this.#bound.get(call.owner) : undefined;
    for (const connection of own ?? []) if (!connection.isBusy && connection.isReusable) return connection;
    const connection = (call.needsNew ? undefined : this.#takeIdle()) ?? this.#open();
    if (call.isBound) this.#bind(connection, call.owner);
    return connection;
  }

  #takeIdle(): UndiciConnection | undefined {
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.isReusable) return connection;
      this.#drop(connection);
    }
    return undefined;
  }

  #open(): UndiciConnection {
    const connection = new UndiciConnection(
      this.options,
      (bound, owner) => this.#bind(bound, owner),
      (closed) => this.#drop(closed),
    );
    this.#all.add(connection);
    return connection;
  }

  /** Without an owner that is there, it ends with what runs over it. */
  #bind(connection: UndiciConnection, owner: Socket | undefined): void {
    if (owner === undefined || owner.destroyed) return connection.spoil();
    if (connection.owner !== undefined) return;
    connection.owner = owner;
    let own = this.#bound.get(owner);
    if (own === undefined) {
      own = new Set();
      this.#bound.set(owner, own);
      owner.once("close", () => this.#leave(owner));
    }
    own.add(connection);
  }

  #leave(owner: Socket): void {
    const own = this.#bound.get(owner);
    this.#bound.delete(owner);
    // What runs is not the client's to end.
    for (const connection of own ?? []) if (!connection.isBusy) this.#drop(connection);
  }

  #release(connection: UndiciConnection): void {
    connection.rest();
    const { owner } = connection;
    if (!connection.isReusable || this.#isClosed) return this.#drop(connection);
    if (owner === undefined) this.#idle.push(connection);
    else if (owner.destroyed) this.#drop(connection);
  }

  #drop(connection: UndiciConnection): void {
    this.#all.delete(connection);
    const at = connection.isBusy ? -1 : this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    const { owner } = connection;
    if (owner !== undefined) this.#bound.get(owner)?.delete(connection);
    connection.destroy();
  }
}
