import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import t, { type Test } from "tap";
import type { Lease } from "../../src/model.js";
import { type RecordStore, StoreUnavailableError } from "../../src/store/record-store.js";
import { connect } from "../../src/store/sqlite/database.js";
import { asking, hour, leaseOn, newKey, openRetentionMs, origin, responseOf } from "./contract-material.js";
import { bundled, embeddedIn } from "./embedded-harness.js";

const thread = await bundled(t, "src/store/sqlite/thread-main.ts");

/** A file system of its own, where this user may mount one. */
function smallDisk(t: Test, mebibytes: number): string | undefined {
  const path = mkdtempSync(join(tmpdir(), "embedded-disk-"));
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m`, "tmpfs", path], { encoding: "utf8" });
  t.teardown(() => {
    if (mounted.status === 0) spawnSync("umount", ["-l", path]);
    rmSync(path, { recursive: true, force: true });
  });
  if (mounted.status === 0) return path;
  const reason = `this test needs the right to mount a small disk: ${mounted.stderr}`;
  if (process.env.CI) t.fail(reason);
  else t.pass(reason, { skip: reason });
  return undefined;
}

/** Leaves so many bytes free. */
function fill(path: string, leaving: number): () => void {
  const { stdout } = spawnSync("df", ["--output=avail", "-B1", path], { encoding: "utf8" });
  const file = join(path, "filler");
  writeFileSync(file, Buffer.alloc(Math.max(0, Number(stdout.split("\n")[1]) - leaving)));
  return () => rmSync(file);
}

const bulky = (text: string) => ({ kind: "response" as const, response: responseOf(text.repeat(2048)) });

async function refusal(answer: Promise<unknown>): Promise<StoreUnavailableError> {
  try {
    await answer;
  } catch (error) {
    if (error instanceof StoreUnavailableError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

async function claimed(store: RecordStore): Promise<Lease> {
  const lease = leaseOn(newKey());
  const claim = await store.claim(asking(lease));
  if (claim.kind !== "won") throw new Error(`the claim was told ${claim.kind}`);
  return lease;
}

t.test("on a disk that is nearly full new claims are refused, and what runs is completed", async (t) => {
  const disk = smallDisk(t, 64);
  if (disk === undefined) return;
  const embedded = embeddedIn(thread, disk);
  t.teardown(() => embedded.close());
  const store = await embedded.open();
  const [running, waiting, done] = [await claimed(store), await claimed(store), await claimed(store)];
  await store.complete(done, bulky("done"), origin);
  const empty = fill(disk, 2 << 20);
  // The writer looks at the disk four times a second.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const error = await refusal(store.claim(asking(leaseOn(newKey()))));
  t.match(error, { operation: "claim", mayHaveRun: false, cause: { message: "the disk is full" } });
  t.equal(await store.complete(running, bulky("running"), origin), "stored");
  t.equal(await store.extend(waiting, hour, openRetentionMs), "kept");
  t.equal((await store.claim(asking(leaseOn(done.key)))).kind, "done", "what is stored is replayed");
  t.equal((await store.claim(asking(leaseOn(waiting.key)))).kind, "held");
  t.match(embedded.troubles, [/nearly full/]);
  empty();
  await new Promise((resolve) => setTimeout(resolve, 300));
  await claimed(store);
  t.match(embedded.troubles, [/nearly full/, /has room again/]);
});

t.test(
  "on a full disk nothing is lost, nothing is half written, and it goes on when there is room again",
  async (t) => {
    const disk = smallDisk(t, 24);
    if (disk === undefined) return;
    const embedded = embeddedIn(thread, disk);
    t.teardown(() => embedded.close());
    let store = await embedded.open();
    const leases: Lease[] = [];
    for (let index = 0; index < 100; index++) leases.push(await claimed(store));
    const empty = fill(disk, 3 << 20);
    const stored: Lease[] = [];
    const refused: Lease[] = [];
    for (const lease of leases) {
      const answer = store.complete(lease, bulky(lease.token), origin);
      await answer.then(
        () => stored.push(lease),
        (error: StoreUnavailableError) => {
          if (error.mayHaveRun) t.fail("a refused completion is certain not to have happened");
          refused.push(lease);
        },
      );
    }
    t.ok(stored.length > 5 && refused.length > 5, `${stored.length} stored, ${refused.length} refused`);
    const check = async () => {
      for (const lease of stored) {
        const claim = await store.claim(asking(leaseOn(lease.key)));
        if (claim.kind !== "done" || !claim.response.body.toString().startsWith(lease.token)) t.fail(claim.kind);
      }
      for (const lease of refused) t.match(await store.peek(lease.key, false), { state: "in_flight" });
    };
    await check();
    await store.close();
    store = await embedded.open();
    await check();
    empty();
    for (const lease of refused) t.equal(await store.complete(lease, bulky(lease.token), origin), "stored");
    stored.push(...refused.splice(0));
    await check();
    t.equal((await store.list({ limit: 1000 })).records.length, leases.length);
  },
);

t.test("the file does not grow while records come and go", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const store = await embedded.open();
  const db = connect(embedded.path, 1024);
  t.teardown(() => db.close());
  const count = (sql: string) => Number(Object.values(db.prepare(sql).get() ?? {})[0]);
  const pages: number[] = [];
  for (let round = 0; round < 12; round++) {
    const leases = Array.from({ length: 400 }, () => leaseOn(newKey()));
    await Promise.all(leases.map((lease) => store.claim(asking(lease, { leaseMs: hour }))));
    const response = responseOf("x".repeat(1000));
    await Promise.all(leases.slice(50).map((lease) => store.complete(lease, { kind: "response", response }, origin)));
    pages.push(count("PRAGMA page_count"));
    embedded.skewMs[0]! += hour + openRetentionMs + 1000;
    // What is over is removed a little at a time.
    while (count("SELECT count(*) FROM record") > 0) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const [warm, last] = [Math.max(...pages.slice(0, 4)), Math.max(...pages.slice(8))];
  t.ok(last <= warm * 1.05, `${warm} pages after four rounds, ${last} after all`);
  t.same((await store.list({ limit: 1 })).records, []);
});

t.test("a folder that cannot be used is refused in one plain sentence", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const store = await embedded.open();
  await claimed(store);
  await store.close();
  t.equal(statSync(embedded.path).mode & 0o077, 0, "nobody else may look into it");

  for (const name of ["records.sqlite", "records.sqlite-wal", "records.sqlite-shm"]) {
    const file = statSync(join(embedded.path, name), { throwIfNoEntry: false });
    t.equal((file?.mode ?? 0) & 0o077, 0, name);
  }

  const file = join(embedded.path, "records.sqlite");
  const whole = readFileSync(file);
  const later = Buffer.from(whole);
  later.writeUInt32BE(7, 60);
  writeFileSync(file, later);
  await t.rejects(embedded.open(), { message: /of another version \(format 7, this one knows 1\)\.$/ });
  const foreign = Buffer.from(whole);
  foreign.writeUInt32BE(1, 68);
  writeFileSync(file, foreign);
  await t.rejects(embedded.open(), { message: /is not one of this program: records\.sqlite is something else\.$/ });
  writeFileSync(file, "something that is no database at all\n".repeat(40));
  await t.rejects(embedded.open(), { message: /is damaged: file is not a database/ });
  t.match(readFileSync(file, "utf8"), /^something/, "and nothing was written over it");

  rmSync(embedded.path, { recursive: true });
  writeFileSync(embedded.path, "");
  await t.rejects(embedded.open(), { message: /^The data folder .* cannot be used: it is not a folder\.$/ });
  rmSync(embedded.path);
  mkdirSync(embedded.path);
  await claimed(await embedded.open());
});

t.test("a writer that dies is started again, and nothing that was acknowledged is gone", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const begun = new Promise<Worker>((resolve) => process.once("worker", resolve));
  const store = await embedded.open();
  const lease = await claimed(store);
  // It sleeps: nothing is asked of it. One that is ended in a transaction is what `Gate` is for.
  await (await begun).terminate();
  const error = await refusal(store.claim(asking(leaseOn(newKey()))));
  t.equal(error.mayHaveRun, false);
  for (let attempt = 0; attempt < 200; attempt++) {
    const answered = await store.ping().then(
      () => true,
      () => false,
    );
    if (answered) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.equal((await store.claim(asking(leaseOn(lease.key)))).kind, "held");
  t.match(embedded.troubles, [/ended and is started again/]);
});

/** Another process that keeps the file to itself: to this one a disk that hangs. */
async function holdUp(path: string): Promise<() => Promise<unknown>> {
  const program = `
    import { DatabaseSync } from "@photostructure/sqlite";
    const db = new DatabaseSync(${JSON.stringify(join(path, "records.sqlite"))});
    db.exec("BEGIN IMMEDIATE");
    process.stdout.write("held");
    process.stdin.on("data", () => process.exit());`;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", program], {
    cwd: join(import.meta.dirname, "../.."),
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(holder.stdout, "data");
  return () => {
    holder.stdin.write("go");
    return once(holder, "exit");
  };
}

t.test("while the disk hangs requests are refused at once, and what it did unseen is taken back", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const store = await embedded.open({ tickMs: 50 });
  const running = await claimed(store);
  const letGo = await holdUp(embedded.path);
  const [unseen, late] = [leaseOn(newKey()), leaseOn(newKey())];
  const refused = await Promise.all([
    refusal(store.claim(asking(unseen))),
    refusal(store.complete(running, bulky("unseen"), origin)),
  ]);
  for (const error of refused) t.match(error, { mayHaveRun: true, cause: { message: "the disk does not answer" } });
  t.equal((await refusal(store.claim(asking(late)))).mayHaveRun, false);
  t.match(embedded.troubles, [/does not answer/]);
  await letGo();
  const answers = () =>
    store.ping().then(
      () => true,
      () => false,
    );
  while (!(await answers())) await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal((await store.peek(running.key, false))?.state, "completed", "it came through after all");
  t.equal(await store.peek(unseen.key, false), undefined, "nobody would have run it");
  t.equal(await store.peek(late.key, false), undefined);
});

t.test("closing carries out what was asked for before, and refuses what comes after", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const store = await embedded.open();
  const leases = Array.from({ length: 300 }, () => leaseOn(newKey()));
  const claims = leases.map((lease) => store.claim(asking(lease)));
  const closing = store.close();
  t.equal((await refusal(store.ping())).mayHaveRun, false);
  t.ok((await Promise.all(claims)).every((claim) => claim.kind === "won"));
  await closing;
  await store.close();
  const reopened = await embedded.open();
  const views = await Promise.all(leases.map(({ key }) => reopened.peek(key, false)));
  t.ok(views.every((view) => view?.state === "in_flight"));
});
