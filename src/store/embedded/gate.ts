const insideAt = 0;
const shutAt = 1;

/**
 * Lets the process end without ending the writer thread in the middle of a transaction. A thread that is ended there
 * waits in lmdb-js for a mutex of its own, for ever, and the process with it; and once its memory is unmapped, the
 * kernel gives the lock on to nobody. (A process that is killed is no trouble: the kernel frees its lock.)
 */
export class Gate {
  constructor(readonly words: Int32Array = new Int32Array(new SharedArrayBuffer(8))) {}

  /** The writer, before a transaction. Blocks for ever once the gate is shut. */
  enter(): void {
    Atomics.store(this.words, insideAt, 1);
    while (Atomics.load(this.words, shutAt) === 1) {
      this.leave();
      Atomics.wait(this.words, shutAt, 1);
    }
  }

  leave(): void {
    Atomics.store(this.words, insideAt, 0);
    Atomics.notify(this.words, insideAt);
  }

  /** Blocks until the writer is outside for good. False: it was not in time. */
  shut(timeoutMs: number): boolean {
    Atomics.store(this.words, shutAt, 1);
    return Atomics.wait(this.words, insideAt, 1, timeoutMs) !== "timed-out";
  }
}
