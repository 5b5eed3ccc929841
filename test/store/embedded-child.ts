/*
 * A process that writes to an embedded store until it is killed, and says on stdout what was acknowledged to it: lines
 * of `won KEY TOKEN`, `held KEY`, `stored KEY TOKEN`, `over`. Arguments: the folder, the URL of the compiled threads, how
 * many claims at once, the keys as a file of lines, or `-` for keys of its own, and `exit` to end in the midst of it.
 */
import { randomBytes } from "node:crypto";
import { readFileSync, writeSync } from "node:fs";
import type { KeyHash, RecordKey } from "../../src/model.js";
import { openEmbeddedStore } from "../../src/store/sqlite/sqlite-store.js";
import { asking, leaseOn, newKey, origin, responseOf } from "./contract-material.js";

const [path, thread, width, keysFile, ending] = process.argv.slice(2) as string[] as [
  string,
  string,
  string,
  string,
  string,
];
const keyHash = "c0".repeat(32) as KeyHash;
const say = (line: string) => void writeSync(1, `${line}\n`);

const store = await openEmbeddedStore(
  { type: "embedded", path },
  {
    onTrouble: (what, error) => say(`trouble ${what} ${error?.message ?? ""}`),
    thread: new URL(thread),
    // A disk that other tests keep busy for some seconds is no trouble here; half a minute of silence is.
    tickMs: 5000,
  },
);

const keys = keysFile === "-" ? undefined : shuffled(readFileSync(keysFile, "utf8").split("\n") as RecordKey[]);
const most = 20_000;
let taken = 0;

async function work(): Promise<void> {
  while (taken < (keys?.length ?? most)) {
    const key = keys === undefined ? newKey() : keys[taken]!;
    const isCompleted = taken++ % 2 === 0;
    const lease = leaseOn(key);
    const claim = await store.claim(asking(lease, { keyHash }));
    if (claim.kind !== "won") {
      say(`${claim.kind} ${key}`);
      continue;
    }
    say(`won ${key} ${lease.token}`);
    if (ending === "exit" && taken > 60 && Math.random() < 0.05) process.exit(7);
    if (!isCompleted) continue;
    const response = responseOf(lease.token + randomBytes(300).toString("hex"));
    if ((await store.complete(lease, { kind: "response", response }, origin)) === "stored") {
      say(`stored ${key} ${lease.token}`);
    }
  }
}

await Promise.all(Array.from({ length: Number(width) }, work));
say("over");
await store.close();

function shuffled<T>(items: T[]): T[] {
  for (let index = items.length - 1; index > 0; index--) {
    const other = Math.floor(Math.random() * (index + 1));
    [items[index], items[other]] = [items[other]!, items[index]!];
  }
  return items;
}
