const word = new Int32Array(new SharedArrayBuffer(4));

/** Blocks the thread for so many ms, whatever comes meanwhile. */
export function pause(ms: number): void {
  Atomics.wait(word, 0, 0, ms);
}
