import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { CommandQueue } from "./command-queue.js";
import { connect, immediately, patiently, prepareDatabase } from "./database.js";
import { prepareFolder } from "./folder.js";
import type { Database } from "./library.js";
import type { Notice, ThreadStart } from "./messages.js";
import { checkPages } from "./page-check.js";
import { pause } from "./pause.js";
import { Reader } from "./reader.js";
import { isDamage } from "./sqlite-error.js";
import { StoreClock } from "./store-clock.js";
import { refuseDamagedWal } from "./wal-check.js";
import { Warnings } from "./warnings.js";
import { Writer } from "./writer.js";

/*
 * The main file of the store's threads: one that writes and one that reads, each with a connection of its own. A thread
 * blocks where it waits, for commands or for the disk. Nothing else runs in it, but for a turn of its event loop now
 * and then: what ends an object of a native module waits for such a turn.
 */

/** When many write at once, so much time is between two flushes of the disk at least: they share one. */
const gatherMs = 2;
const turnEveryMs = 1000;
/** Answers that travel together. */
const mostAnswered = 1024 * 1024;

const cacheKiBOf = { writer: 32 * 1024, reader: 4 * 1024, checker: 1024 };

interface Opened {
  readonly db: Database;
  readonly clock: StoreClock;
}

const start = workerData as ThreadStart;
const port = parentPort!;
const queue = new CommandQueue(port, start.signal);
const warnings = new Warnings((what, error) => post({ kind: "warning", what, error }));

function post(notice: Notice): void {
  port.postMessage(notice);
}

/** Makes what is missing, and makes sure of what is there. The writer of a process is the first to open the folder. */
function openFolder(): Opened {
  if (start.role === "writer") {
    prepareFolder(start.path);
    refuseDamagedWal(start.path);
  }
  const db = connect(start.path, cacheKiBOf[start.role]);
  try {
    if (start.role === "writer") {
      prepareDatabase(db, start.path);
      checkPages(db, start.path, "start");
    }
    if (start.role === "checker") checkPages(db, start.path, "work");
    return { db, clock: immediately(db, () => StoreClock.read(db, start.skew, start.boot)) };
  } catch (error) {
    db.close();
    throw error;
  }
}

function openPatiently(): Opened {
  try {
    return patiently(openFolder);
  } catch (error) {
    if (!isDamage(error)) throw error;
    throw new Error(
      `The data folder ${start.path} is damaged: ${(error as Error).message}. See docs/embedded-store.md.`,
    );
  }
}

async function runWriter({ db, clock }: Opened): Promise<void> {
  const writer = new Writer(start, db, clock, warnings, (what) => post({ kind: "warning", what }));
  post({ kind: "ready" });
  for (let isOpen = true; isOpen; ) {
    await yieldNow();
    const commands = queue.next(() => writer.dueInMs);
    if (commands.length === 0) {
      writer.tidy();
      continue;
    }
    const begunAtMs = performance.now();
    port.postMessage(writer.run(commands));
    isOpen = !commands.some(([, verb]) => verb === "close");
    // One client alone is not kept waiting.
    const leftMs = begunAtMs + gatherMs - performance.now();
    if (commands.length > 1 && leftMs > 0) pause(leftMs);
  }
  writer.close();
}

async function runReader({ db, clock }: Opened): Promise<void> {
  const reader = new Reader(start, db, clock, warnings, (keys) => post({ kind: "changed", keys }));
  post({ kind: "ready" });
  for (let isOpen = true; isOpen; ) {
    await yieldNow();
    const commands = queue.next(() => reader.dueInMs);
    let answers: unknown[] = [];
    let bytes = 0;
    for (const command of commands) {
      const answer = reader.run(command);
      answers.push(...answer);
      bytes += sizeOf(answer[1]);
      if (command[1] === "close") isOpen = false;
      if (bytes > mostAnswered) {
        port.postMessage(answers);
        answers = [];
        bytes = 0;
      }
    }
    if (answers.length > 0) port.postMessage(answers);
    if (isOpen) reader.tidy();
  }
}

let turnAtMs = performance.now();
async function yieldNow(): Promise<void> {
  if (performance.now() < turnAtMs + turnEveryMs) return;
  await setImmediate();
  turnAtMs = performance.now();
}

function sizeOf(answer: unknown): number {
  if (answer instanceof Uint8Array) return answer.length;
  const { payload } = (answer ?? {}) as { readonly payload?: Uint8Array };
  return payload?.length ?? 0;
}

try {
  const opened = openPatiently();
  if (start.role === "writer") await runWriter(opened);
  else if (start.role === "reader") await runReader(opened);
  else {
    opened.db.close();
    post({ kind: "ready" });
  }
} catch (error) {
  post({ kind: "failed", why: (error as Error).message });
}
port.close();
