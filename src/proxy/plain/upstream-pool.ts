import { TurnoverSet } from "../../turnover.js";
import type { Seats } from "../seats.js";
import { type Message, type PlainAnswer, type UpstreamAddress, UpstreamConnection } from "./upstream-connection.js";

/** A request that waits for a connection or an answer. Everything is called at most once, in this order. */
export interface PlainCall extends Message {
  /** Right before its first octet is written; `false`: it has been given up, and is not. */
  mayBeSent(connection: UpstreamConnection): boolean;
  answered(answer: PlainAnswer): void;
  /** Instead of both: no connection could be had. */
  unsent(error: Error): void;
}

export interface UpstreamPoolOptions {
  readonly address: UpstreamAddress;
  readonly connectTimeoutMs: number;
  /** How long an idle connection is kept at most, ms; 0: each request has one of its own. */
  readonly keepAliveMs: number;
}

/** An upstream that says how long it keeps a connection is believed with this much less, ms. */
const keptMarginMs = 2_000;

/**
 * Connections to one upstream. A connection is used for one request at a time, and for none before a turn of the event
 * loop has shown that the upstream has not closed it meanwhile: a request on a closed one would be in doubt.
 */
export class UpstreamPool {
  /** The last one used last: it is the one least likely to have been closed. */
  readonly #idle: UpstreamConnection[] = [];
  readonly #all = new TurnoverSet<UpstreamConnection>();
  #queue: PlainCall[] = [];
  #resting: { readonly connection: UpstreamConnection; readonly toldMs: number | undefined }[] = [];
  #restingCount = 0;
  #isDue = false;
  #isClosed = false;
  #isDestroyed = false;
  #sweeper: NodeJS.Timeout | undefined;

  /** Seats that were waited for and are still to be taken. */
  #granted = 0;
  #isWaiting = false;

  /** `seats`: what finds none waits. */
  constructor(
    private readonly options: UpstreamPoolOptions,
    private readonly seats: Seats,
  ) {}

  get keepsNothing(): boolean {
    return this.options.keepAliveMs === 0;
  }

  get isDestroyed(): boolean {
    return this.#isDestroyed;
  }

  /** Sends in the next turn of the event loop, or when a connection is free. */
  send(call: PlainCall): void {
    if (this.#isDestroyed) {
      setImmediate(() => call.unsent(new Error("the gateway ends")));
      return;
    }
    this.#queue.push(call);
    this.#sendSoon();
  }

  /** A call that was not sent is given up. `false`: it was sent. */
  withdraw(call: PlainCall): boolean {
    const at = this.#queue.indexOf(call);
    if (at >= 0) this.#queue.splice(at, 1);
    return at >= 0;
  }

  /** No new calls; ends with the last of those that were begun. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /** Cuts what still runs, and sends nothing of what waits. */
  destroy(): void {
    this.#isDestroyed = true;
    this.close();
    for (const call of this.#queue.splice(0)) call.unsent(new Error("the gateway ends"));
    for (const connection of this.#all) connection.destroy();
  }

  #sendSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#sendQueued();
    });
  }

  #sendQueued(): void {
    const queue = this.#queue;
    const later: PlainCall[] = [];
    let from = 0;
    while (from < queue.length) {
      // One that rests is free sooner than a new one is there.
      if (this.#idle.length === 0 && later.length < this.#restingCount) {
        later.push(queue[from++]!);
        continue;
      }
      if (!this.#takeSeat()) break;
      const connection = this.#takeIdle();
      if (connection === undefined) {
        this.#open(queue[from++]!);
      } else {
        connection.isSeated = true;
        this.#sendOver(connection, queue[from++]!);
      }
    }
    this.#queue = from === 0 ? queue : [...later, ...queue.slice(from)];
    for (; this.#granted > 0; this.#granted--) this.seats.give();
  }

  #takeSeat(): boolean {
    if (this.#granted > 0) {
      this.#granted--;
      return true;
    }
    if (this.seats.take()) return true;
    if (!this.#isWaiting) {
      this.#isWaiting = true;
      this.seats.wait(() => {
        this.#isWaiting = false;
        this.#granted++;
        this.#sendSoon();
      });
    }
    return false;
  }

  #leaveSeat(connection: UpstreamConnection): void {
    if (!connection.isSeated) return;
    connection.isSeated = false;
    this.seats.give();
  }

  #takeIdle(): UpstreamConnection | undefined {
    const nowMs = performance.now();
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.isUsable && connection.idleUntilMs > nowMs) return connection;
      connection.destroy();
    }
    return undefined;
  }

  #open(call: PlainCall): void {
    const { address, connectTimeoutMs } = this.options;
    const connected = (error: Error | undefined) => {
      if (error !== undefined) call.unsent(error);
      else this.#sendOver(connection, call);
    };
    const closed = () => {
      this.#all.delete(connection);
      this.#leaveSeat(connection);
    };
    const connection = new UpstreamConnection(address, connectTimeoutMs, connected, closed);
    this.#all.add(connection);
    connection.isSeated = true;
  }

  #sendOver(connection: UpstreamConnection, call: PlainCall): void {
    if (!call.mayBeSent(connection)) return this.#keep(connection, undefined);
    connection.send(call, (answer) => {
      if (answer.kind === "whole") this.#rest(connection, answer.head.keptMs);
      call.answered(answer);
    });
  }

  /** Kept after the next poll: an end that came right behind the answer is only read then. */
  #rest(connection: UpstreamConnection, toldMs: number | undefined): void {
    this.#restingCount++;
    if (this.#resting.push({ connection, toldMs }) > 1) return;
    setImmediate(() => {
      const rested = this.#resting;
      this.#resting = [];
      setImmediate(() => {
        this.#restingCount -= rested.length;
        for (const { connection, toldMs } of rested) this.#keep(connection, toldMs);
        if (this.#queue.length > 0) this.#sendSoon();
      });
    });
  }

  #keep(connection: UpstreamConnection, toldMs: number | undefined): void {
    if (!connection.isUsable) return;
    this.#leaveSeat(connection);
    const { keepAliveMs } = this.options;
    const forMs = toldMs === undefined ? keepAliveMs : Math.min(toldMs - keptMarginMs, keepAliveMs);
    if (this.#isClosed || forMs <= 0) return connection.destroy();
    connection.idleUntilMs = performance.now() + forMs;
    this.#idle.push(connection);
    this.#sweeper ??= setInterval(() => this.#sweep(), keptMarginMs / 2).unref();
  }

  #sweep(): void {
    const nowMs = performance.now();
    const kept: UpstreamConnection[] = [];
    for (const connection of this.#idle) {
      if (connection.isUsable && connection.idleUntilMs > nowMs) kept.push(connection);
      else connection.destroy();
    }
    this.#idle.splice(0, this.#idle.length, ...kept);
    if (this.#all.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}
