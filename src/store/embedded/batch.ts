import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { AnswerWriter, kind } from "./answer.js";
import { code, at as within } from "./command.js";
import type { Ledger } from "./ledger.js";
import type { ListJob } from "./messages.js";
import type { Order } from "./order.js";
import type { Ring } from "./ring.js";
import { isDiskFull, type Room } from "./room.js";
import { JournalBroken } from "./segment.js";
import { type Change, carryOut } from "./transitions.js";
import { LockFailed } from "./trees.js";
import type { Troubles } from "./troubles.js";

const mostCommands = 2048;
const mostBytes = 1 << 25;

/** What may be written: on a full disk the completions of what runs come before new claims. */
type Permission = "all" | "noClaims" | "nothing";

/** All commands that have come, carried out under one lock and answered once they are on the disk. */
export class Batch {
  readonly listJobs: ListJob[] = [];
  isClosing = false;
  readonly #answer = new AnswerWriter();

  constructor(
    private readonly commands: Ring,
    private readonly answers: Ring,
    private readonly port: MessagePort,
    private readonly ledger: Ledger,
    private readonly room: Room,
    private readonly troubles: Troubles,
  ) {}

  /** Returns how many commands there were. Throws when the thread must not go on; everything is answered even then. */
  run(nowMs: number): number {
    const orders = this.#collect(nowMs);
    let fatal: unknown;
    try {
      const hasClaims = orders.some(({ bytes, from }) => bytes[from] === code.claim);
      this.#carryOut(orders, hasClaims && this.room.isShort ? "noClaims" : "all");
    } catch (error) {
      const isBroken = error instanceof JournalBroken;
      if (isBroken || error instanceof LockFailed) fatal = error;
      else this.troubles.meet("The store could not carry out commands.", error as Error);
      this.#answer.clear();
      for (const _ of orders) refuse(this.#answer, (error as Error).message, isBroken);
    }
    this.commands.release();
    if (orders.length > 0) this.#send();
    if (fatal !== undefined) throw fatal;
    return orders.length;
  }

  #collect(nowMs: number): Order[] {
    const orders: Order[] = [];
    let bytesTaken = 0;
    while (orders.length < mostCommands && bytesTaken < mostBytes && !this.isClosing) {
      const message = this.commands.next();
      if (message === undefined) break;
      const order = this.#order(message, nowMs);
      const verb = order.bytes[order.from];
      bytesTaken += order.to - order.from;
      if (verb === code.close) this.isClosing = true;
      else orders.push(order);
      if (verb === code.list) {
        this.listJobs.push(JSON.parse(order.bytes.toString("utf8", order.from + within.names, order.to)));
      }
    }
    return orders;
  }

  #order({ at, length }: { at: number; length: number }, nowMs: number): Order {
    const { bytes } = this.commands;
    if (bytes[at] !== code.parcel) return { bytes, from: at, to: at + length, nowMs };
    const parcel = receiveMessageOnPort(this.port)!.message as Uint8Array;
    return { bytes: Buffer.from(parcel.buffer), from: 0, to: parcel.length, nowMs };
  }

  /** Once more with less, when the disk is full: what was staged before is forgotten, and nothing had happened. */
  #carryOut(orders: readonly Order[], permission: Permission): void {
    try {
      this.ledger.transact(() => {
        this.#answer.clear();
        for (const order of orders) this.#carryOutOne(order, permission);
      });
    } catch (error) {
      if (!isDiskFull(error) || permission === "nothing") throw error;
      this.#carryOut(orders, permission === "all" ? "noClaims" : "nothing");
    }
  }

  #carryOutOne(order: Order, permission: Permission): void {
    const answer = this.#answer;
    const answeredBefore = answer.length;
    const { bytes, from } = order;
    let change: Change;
    try {
      const id = bytes.toString("latin1", from + within.id, from + within.id + 32);
      change = carryOut(order, this.ledger.get(id), answer);
      if (change === undefined) return;
      if (permission === "all" || (permission === "noClaims" && bytes[from] !== code.claim)) {
        return this.ledger.stage(id, change);
      }
      answer.truncate(answeredBefore);
      refuse(answer, "the disk is full", false);
    } catch (error) {
      // A record that cannot be read must not take the rest of the batch with it.
      answer.truncate(answeredBefore);
      refuse(answer, (error as Error).message, false);
    }
  }

  #send(): void {
    const { length, bytes } = this.#answer;
    const at = length <= this.answers.largest ? this.answers.reserve(length) : -1;
    if (at < 0) {
      const copy = Uint8Array.from(bytes);
      this.port.postMessage(copy, [copy.buffer]);
      return;
    }
    this.answers.bytes.set(bytes, at);
    this.answers.publish();
    this.port.postMessage(length);
  }
}

function refuse(answer: AnswerWriter, why: string, mayHaveRun: boolean): void {
  const text = Buffer.from(why);
  answer
    .byte(kind.unavailable)
    .byte(mayHaveRun ? 1 : 0)
    .blob(text, 0, text.length);
}
