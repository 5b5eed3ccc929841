import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { Batch } from "./batch.js";
import { Chores } from "./chores.js";
import { prepareFolder } from "./folder.js";
import { Gate } from "./gate.js";
import { Ledger } from "./ledger.js";
import type { Notice, WriterStart } from "./messages.js";
import { Ring } from "./ring.js";
import { Room } from "./room.js";
import { Trees } from "./trees.js";
import { Troubles } from "./troubles.js";

/*
 * The main file of the writer thread, the only one of the process that writes records. It blocks where it waits, on the
 * ring or on the disk. Nothing else runs in it, but for a turn of the thread's event loop now and then.
 */

/** When many write at once, so much time is between two flushes of the disk at least: they share one. */
const gatherMs = 2;
/**
 * V8 and Node put off until the event loop's next turn what ends an object of a native module, such as each cursor over
 * a tree of LMDB. A thread that never came round to it would keep all of them.
 */
const turnEveryMs = 1000;

const start = workerData as WriterStart;
const port = parentPort!;

function post(notice: Notice): void {
  port.postMessage(notice);
}

function begin(): { trees: Trees; ledger: Ledger } | undefined {
  try {
    prepareFolder(start.path);
    const trees = new Trees(start.path, new Gate(start.gate));
    const ledger = new Ledger(start.path, trees, start.segmentBytes, (ids) => {
      if (Atomics.load(start.watching, 0) === 1) post({ kind: "changed", ids: Uint8Array.from(Buffer.concat(ids)) });
    });
    ledger.begin(Date.now() + start.skewMs[0]!);
    return { trees, ledger };
  } catch (error) {
    post({ kind: "failed", why: (error as Error).message });
    return undefined;
  }
}

async function work(trees: Trees, ledger: Ledger): Promise<void> {
  const commands = new Ring(start.commands);
  const room = new Room(start.path, trees, (isShort) =>
    post({
      kind: "trouble",
      what: isShort
        ? "The store's disk is nearly full: new requests are refused."
        : "The store's disk has room again: new requests are taken.",
    }),
  );
  const troubles = new Troubles((what, error) => post({ kind: "trouble", what, error }));
  const batch = new Batch(commands, new Ring(start.answers), port, ledger, room, troubles);
  const chores = new Chores(ledger, trees, room, troubles, port, start.watching, start.skewMs);
  let batchAtMs = 0;
  let batchSize = 0;
  let turnAtMs = performance.now();
  while (!batch.isClosing) {
    if (performance.now() >= turnAtMs + turnEveryMs) {
      await setImmediate();
      turnAtMs = performance.now();
    }
    // One client alone is not kept waiting. What comes meanwhile wakes nobody.
    if (batchSize > 1) {
      if (chores.isBehind) chores.step();
      const restMs = batchAtMs + gatherMs - performance.now();
      if (restMs > 0) commands.pause(restMs);
    }
    const dueInMs = commands.hasMore ? 0 : chores.dueInMs;
    if (dueInMs > 0) commands.sleep(dueInMs);
    if (!commands.hasMore) {
      chores.step();
      continue;
    }
    batchAtMs = performance.now();
    batchSize = batch.run(Date.now() + start.skewMs[0]!);
    chores.note(batchSize, batch.listJobs);
  }
}

const opened = begin();
if (opened !== undefined) {
  post({ kind: "ready" });
  await work(opened.trees, opened.ledger);
  opened.ledger.close();
  await opened.trees.close();
}
port.close();
