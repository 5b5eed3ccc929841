import type { Worker } from "node:worker_threads";
import { type Command, code, sizeOf, writeCommand } from "./command.js";
import { Ring } from "./ring.js";

const ringBytes = 1 << 20;
/** Larger commands travel as a message of their own; the ring only says whose turn it is. */
const parcelBytes = 1 << 17;
const parcel = Buffer.of(code.parcel);

/** Commands on their way to the writer thread, in order, none lost and none waiting longer than the turn it came in. */
export class Outbox {
  readonly #ring = Ring.ofSize(ringBytes);
  /** What found no room, oldest first. */
  readonly #backlog: Buffer[] = [];
  #isWakeDue = false;
  #worker: Worker | undefined;

  get memory(): SharedArrayBuffer {
    return this.#ring.memory;
  }

  deliverTo(worker: Worker): void {
    this.#worker = worker;
  }

  send(command: Command): void {
    const length = sizeOf(command);
    if (this.#backlog.length === 0 && length <= parcelBytes) {
      const at = this.#ring.reserve(length);
      if (at >= 0) {
        writeCommand(command, this.#ring.bytes, at);
        this.#publish();
        return;
      }
    }
    const bytes = Buffer.allocUnsafeSlow(length);
    writeCommand(command, bytes, 0);
    this.#backlog.push(bytes);
    this.flush();
  }

  /** Called whenever the writer may have made room. */
  flush(): void {
    while (this.#backlog.length > 0) {
      const bytes = this.#backlog[0]!;
      const isParcel = bytes.length > parcelBytes;
      const inline = isParcel ? parcel : bytes;
      const at = this.#ring.reserve(inline.length);
      if (at < 0) return;
      if (isParcel) this.#worker?.postMessage(bytes, [bytes.buffer as ArrayBuffer]);
      this.#ring.bytes.set(inline, at);
      this.#backlog.shift();
      this.#publish();
    }
  }

  /** Wakes the writer although there is no command. */
  nudge(): void {
    this.#ring.wake();
  }

  /** One wake for all commands of this turn: they become one batch. */
  #publish(): void {
    this.#ring.publish();
    if (this.#isWakeDue) return;
    this.#isWakeDue = true;
    setImmediate(() => {
      this.#isWakeDue = false;
      this.#ring.wake();
    });
  }
}
