import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { Command } from "./messages.js";

/** What one transaction takes at most. */
const mostCommands = 2048;
const mostBytes = 32 * 1024 * 1024;

/** The thread's end of what it is asked, in order. Blocks the thread where it waits. */
export class CommandQueue {
  #waiting: Command[] = [];

  constructor(
    private readonly port: MessagePort,
    private readonly signal: Int32Array,
  ) {}

  /** The next commands; when there are none it blocks for as long as `sleepMs` says. */
  next(sleepMs: () => number): Command[] {
    const seen = Atomics.load(this.signal, 0);
    this.#receive();
    if (this.#waiting.length > 0) return this.#take();
    const restMs = sleepMs();
    if (restMs <= 0) return [];
    Atomics.wait(this.signal, 0, seen, restMs);
    this.#receive();
    return this.#take();
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  #receive(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.port);
      if (received === undefined) return;
      const commands = received.message as Command[];
      if (this.#waiting.length === 0) this.#waiting = commands;
      else this.#waiting.push(...commands);
    }
  }

  #take(): Command[] {
    let count = 0;
    for (let bytes = 0; count < this.#waiting.length && count < mostCommands && bytes < mostBytes; count++) {
      for (const part of this.#waiting[count]!) if (part instanceof Uint8Array) bytes += part.length;
    }
    if (count === this.#waiting.length) {
      const all = this.#waiting;
      this.#waiting = [];
      return all;
    }
    return this.#waiting.splice(0, count);
  }
}
