import type { Lease } from "../../model.js";
import { StoreUnavailableError } from "../record-store.js";
import { AnswerReader, kind } from "./answer.js";
import type { Command } from "./command.js";

/** Turns an answer into what its verb returns. */
export type Read<T> = (answer: number, from: AnswerReader) => T;

interface Pending {
  readonly command: Command;
  readonly read: Read<unknown>;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  isAbandoned: boolean;
}

const compactAfter = 1024;

/** Commands that were sent and not yet answered, in their order: the answers come in the same. */
export class Inbox {
  /** Those that were answered are gone: they would be kept alive until all are. */
  #pending: (Pending | undefined)[] = [];
  #answered = 0;

  /** `onUnwanted` is told of a claim that was won after its caller had given up. */
  constructor(private readonly onUnwanted: (lease: Lease) => void) {}

  get isEmpty(): boolean {
    return this.#answered === this.#pending.length;
  }

  expect<T>(command: Command, read: Read<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#pending.push({ command, read, resolve: resolve as (value: never) => void, reject, isAbandoned: false });
    });
  }

  settle(bytes: Buffer, from: number, to: number): void {
    const answers = new AnswerReader(bytes, from, to);
    while (answers.hasMore) {
      const pending = this.#pending[this.#answered]!;
      this.#pending[this.#answered++] = undefined;
      this.#settleOne(pending, answers);
    }
    if (this.isEmpty || this.#answered > compactAfter) {
      this.#pending = this.#pending.slice(this.#answered);
      this.#answered = 0;
    }
  }

  /** Their callers wait no longer. What becomes of them is still to be heard. */
  abandon(why: string): void {
    for (let index = this.#answered; index < this.#pending.length; index++) {
      const pending = this.#pending[index]!;
      pending.isAbandoned = true;
      pending.reject(unavailable(pending.command, true, why));
    }
  }

  /** The same, and no answer will come. */
  clear(why: string): void {
    this.abandon(why);
    this.#pending = [];
    this.#answered = 0;
  }

  #settleOne(pending: Pending, answers: AnswerReader): void {
    const answer = answers.byte();
    if (answer === kind.unavailable) {
      const mayHaveRun = answers.byte() === 1;
      pending.reject(unavailable(pending.command, mayHaveRun, answers.blob().toString()));
      return;
    }
    // An answer that cannot be read (a record damaged, or written by a newer version) must not take others with it.
    try {
      pending.resolve(pending.read(answer, answers) as never);
    } catch (error) {
      pending.reject(unavailable(pending.command, true, "its answer cannot be read", error));
    }
    if (pending.isAbandoned && answer === kind.won) this.onUnwanted(pending.command.lease);
  }
}

export function unavailable({ verb }: Command, mayHaveRun: boolean, why: string, cause?: unknown): Error {
  return new StoreUnavailableError(verb, mayHaveRun, { cause: new Error(why, { cause }) });
}
