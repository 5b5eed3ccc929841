/*
 * A process that writes to an embedded store on a disk that fails, and says on stdout what became of each command:
 * `won KEY TOKEN`, `stored KEY TOKEN`, `refused VERB MAYHAVERUN WHY`, `trouble WHAT`, `over`. Arguments: the folder, the
 * URL of the compiled threads, how many requests at once, how many in all, for how many ms the event loop is blocked now
 * and then, and `trace` where each acknowledgement goes into DISK_TRACE as well.
 */
import { appendFileSync, writeSync } from "node:fs";
import { StoreUnavailableError } from "../../src/store/record-store.js";
import { openEmbeddedStore } from "../../src/store/sqlite/sqlite-store.js";
import { asking, leaseOn, newKey, origin, responseOf } from "./contract-material.js";

const [path = "", thread = "", width = "", most = "", blockMs = "", mode = ""] = process.argv.slice(2);
const traceFile = mode === "trace" ? process.env.DISK_TRACE : undefined;

function say(line: string): void {
  for (let text = `${line}\n`; text !== ""; ) {
    try {
      text = text.slice(writeSync(1, text));
    } catch (error) {
      // The reader of the pipe is slow.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
  }
  if (traceFile === undefined || !/^(won|stored) /.test(line)) return;
  const head = Buffer.alloc(40);
  head.write("A", 0);
  head.writeBigUInt64LE(BigInt(line.length), 24);
  appendFileSync(traceFile, Buffer.concat([head, Buffer.from(line)]));
}

const store = await openEmbeddedStore(
  { type: "embedded", path },
  {
    thread: new URL(thread),
    // A machine that other tests keep busy is no disk that does not answer.
    tickMs: 10_000,
    onTrouble: (what, error) => say(`trouble ${what} ${error?.message ?? ""}`),
  },
);
say("open");

const blocking = setInterval(() => {
  const endsAtMs = performance.now() + Number(blockMs);
  while (performance.now() < endsAtMs);
}, 20);

let begun = 0;
async function work(): Promise<void> {
  while (begun < Number(most)) {
    const number = begun++;
    const lease = leaseOn(newKey());
    try {
      const claim = await store.claim(asking(lease));
      if (claim.kind !== "won") throw new Error(`a new key was answered ${claim.kind}`);
      say(`won ${lease.key} ${lease.token}`);
      if (number % 4 === 3) continue;
      // Some lie on pages of their own.
      const response = responseOf(lease.token.repeat(number % 16 === 0 ? 400 : 8));
      const stored = await store.complete(lease, { kind: "response", response }, origin);
      if (stored !== "stored") throw new Error(`a completion was answered ${stored}`);
      say(`stored ${lease.key} ${lease.token}`);
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      say(`refused ${error.operation} ${error.mayHaveRun} ${(error.cause as Error).message}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

await Promise.all(Array.from({ length: Number(width) }, work));
clearInterval(blocking);
say("over");
await store.close();
