import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import type { RecordKey } from "../../src/model.js";
import { asking, leaseOn } from "./contract-material.js";
import { diskShim } from "./disk-shim.js";
import { bundled, type Embedded, embeddedIn } from "./embedded-harness.js";

const thread = await bundled(t, "src/store/sqlite/thread-main.ts");
const worker = await bundled(t, "test/store/embedded-worker.ts");
const shim = diskShim(t);

interface Worker {
  readonly child: ChildProcess;
  readonly lines: string[];
  readonly exited: Promise<unknown>;
  readonly fault: string;
}

function begin(t: Test, embedded: Embedded, width: number, most: number, blockMs: number): Worker {
  const fault = join(mkdtempSync(join(tmpdir(), "fault-")), "fault");
  const args = [fileURLToPath(worker), embedded.path, thread.href, String(width), String(most), String(blockMs)];
  const env = { ...process.env, LD_PRELOAD: shim, DISK_FOLDER: embedded.path, DISK_FAULT: fault };
  const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => {
    child.kill("SIGKILL");
    rmSync(join(fault, ".."), { recursive: true, force: true });
  });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout! });
  reader.on("line", (line) => lines.push(line));
  return { child, lines, fault, exited: Promise.all([once(child, "exit"), once(reader, "close")]) };
}

/** Lets calls fail, and waits until as many have. */
async function fail({ fault, child }: Worker, operation: "sync" | "write", count: number, error: number, part: string) {
  writeFileSync(fault, `${operation} ${count} ${error} ${part}\n`);
  const isDone = () => readFileSync(fault, "utf8").startsWith(`${operation} 0 `);
  while (child.exitCode === null && !isDone()) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function until(worker: Worker, isSo: () => boolean): Promise<void> {
  while (!isSo() && worker.child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function check(t: Test, embedded: Embedded, lines: readonly string[]): Promise<void> {
  const store = await embedded.open();
  const stored = new Set(lines.filter((line) => line.startsWith("stored ")).map((line) => line.split(" ")[1]));
  let checked = 0;
  for (const line of lines.filter((line) => line.startsWith("won "))) {
    const [, key, token] = line.split(" ") as [string, RecordKey, string];
    const claim = await store.claim(asking(leaseOn(key)));
    const isDone = claim.kind === "done" && claim.response.body.toString().startsWith(token);
    const isHeld = claim.kind === "held" && claim.flight === token.slice(0, 16);
    if (!(isDone || (isHeld && !stored.has(key)))) t.fail(`${line}: a claim is answered ${claim.kind}`);
    checked++;
  }
  t.ok(checked > 100, `${checked} acknowledged claims are there`);
}

const errors = constants.errno;
const faults = {
  "a flush of the WAL": ["sync", errors.EIO, "-wal", true],
  "a write to the WAL": ["write", errors.EIO, "-wal", undefined],
  "a write to a full disk": ["write", errors.ENOSPC, "-wal", false],
} as const;

for (const [what, [operation, error, part, mayHaveRun]] of Object.entries(faults)) {
  await t.test(`${what} that fails costs its batch and nothing else, however busy the process is`, async (t) => {
    if (shim === undefined) return;
    const embedded = embeddedIn(thread);
    t.teardown(() => embedded.close());
    const worker = begin(t, embedded, 64, 4000, 5);
    await until(worker, () => worker.lines.length > 50);
    for (let round = 0; round < 4; round++) {
      const before = worker.lines.filter((line) => line.startsWith("stored ")).length;
      await fail(worker, operation, 1 + round, error, part);
      await until(worker, () => worker.lines.filter((line) => line.startsWith("stored ")).length > before + 20);
    }
    await worker.exited;
    t.equal(worker.child.exitCode, 0, "the process lives");
    t.equal(worker.lines.at(-1), "over");
    const refused = worker.lines.filter((line) => line.startsWith("refused "));
    if (mayHaveRun !== false) t.ok(refused.length > 0, "the batch was refused");
    if (mayHaveRun === true) t.ok(refused.some((line) => line.split(" ")[2] === "true"));
    if (mayHaveRun === false)
      t.notOk(
        refused.some((line) => line.split(" ")[2] === "true"),
        "surely undone",
      );
    await check(t, embedded, worker.lines);
  });
}

t.test("a flush of the file that fails keeps the WAL, and loses nothing", async (t) => {
  if (shim === undefined) return;
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const worker = begin(t, embedded, 32, 6000, 0);
  await until(worker, () => worker.lines.length > 50);
  await fail(worker, "sync", 2, errors.EIO, "records.sqlite");
  await worker.exited;
  t.equal(worker.child.exitCode, 0);
  t.ok(existsSync(embedded.path));
  await check(t, embedded, worker.lines);
});
