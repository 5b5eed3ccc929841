import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { connect, prepareDatabase } from "../../src/store/sqlite/database.js";
import { checkPages } from "../../src/store/sqlite/page-check.js";
import { refuseDamagedWal } from "../../src/store/sqlite/wal-check.js";
import { diskShim } from "./disk-shim.js";
import { bundled, embeddedIn } from "./embedded-harness.js";
import { LossyDisk, readTrace } from "./lost-power.js";

const thread = await bundled(t, "src/store/sqlite/thread-main.ts");
const worker = await bundled(t, "test/store/embedded-worker.ts");
const shim = diskShim(t);

function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What several processes did on one folder, in the order of their writes. */
async function traced(t: Test, processes: number, faults: boolean): Promise<ReturnType<typeof readTrace>> {
  const embedded = embeddedIn(thread);
  const folder = mkdtempSync(join(tmpdir(), "trace-"));
  t.teardown(() => embedded.close());
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  // Begun by the workers themselves: the folder's making is part of what may be lost.
  const [trace, fault] = [join(folder, "trace"), join(folder, "fault")];
  const args = [fileURLToPath(worker), embedded.path, thread.href, "8", "250", "0", "trace"];
  const disk = { LD_PRELOAD: shim, DISK_FOLDER: embedded.path, DISK_TRACE: trace, DISK_FAULT: fault };
  const children = Array.from({ length: processes }, () =>
    spawn(process.execPath, args, { env: { ...process.env, ...disk }, stdio: ["ignore", "pipe", "inherit"] }),
  );
  const exits = children.map((child) => once(child, "exit"));
  for (const { stdout } of children) {
    await once(stdout, "data");
    stdout.resume();
  }
  const arming = setInterval(() => {
    if (faults) writeFileSync(fault, `sync 1 ${constants.errno.EIO} -wal\n`);
  }, 150);
  const codes = (await Promise.all(exits)).map(([code]) => code);
  clearInterval(arming);
  t.same(new Set(codes), new Set([0]));
  return readTrace(trace);
}

/** Opens what is left as the store does, and looks whether everything acknowledged by then is there. */
function missing(folder: string, acknowledged: readonly string[]): string[] {
  refuseDamagedWal(folder);
  const db = connect(folder, 1024);
  try {
    prepareDatabase(db, folder);
    checkPages(db, folder, "start");
    const find = db.prepare("SELECT state FROM record WHERE id = unhex(?) AND token = unhex(?)");
    return acknowledged.filter((line) => {
      const [word, key, token] = line.split(" ") as [string, string, string];
      const state = (find.get(key, token) as { state: number } | undefined)?.state;
      return word === "stored" ? state !== 4 : state !== 1 && state !== 4;
    });
  } finally {
    db.close();
  }
}

for (const [what, processes, faults] of [
  ["one process", 1, false],
  ["three processes", 3, false],
  ["one process whose flushes fail now and then", 1, true],
] as const) {
  await t.test(`whatever is left of ${what} after a power loss, nothing acknowledged is missing`, async (t) => {
    if (shim === undefined) return;
    const entries = await traced(t, processes, faults);
    const folder = mkdtempSync(join(tmpdir(), "power-"));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    let states = 0;
    let most = 0;
    for (let seed = 1; seed <= 4; seed++) {
      const random = randomFrom(seed);
      const disk = new LossyDisk(random);
      const everyEntries = Math.max(1, Math.floor(entries.length / 40));
      for (const entry of entries) {
        disk.apply(entry);
        if (disk.acknowledged.length === 0 || random() > 1 / everyEntries) continue;
        const left = join(folder, String(states++));
        disk.writeTo(left);
        const gone = missing(left, disk.acknowledged);
        if (gone.length > 0) t.fail(`seed ${seed}, state ${states}: ${gone.length} are missing, as ${gone[0]}`);
        most = Math.max(most, disk.acknowledged.length);
        rmSync(left, { recursive: true });
      }
    }
    t.ok(states > 100, `${states} states of the disk, up to ${most} acknowledgements, from ${entries.length} writes`);
    if (faults)
      t.ok(
        entries.some(({ kind }) => kind === "F"),
        "some flushes failed",
      );
  });
}
