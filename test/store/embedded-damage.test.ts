import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { Lease } from "../../src/model.js";
import { type RecordStore, StoreUnavailableError } from "../../src/store/record-store.js";
import { connect } from "../../src/store/sqlite/database.js";
import { openEmbeddedStore } from "../../src/store/sqlite/sqlite-store.js";
import { damagedFrame } from "../../src/store/sqlite/wal-check.js";
import { answer, asking, leaseOn, newKey, origin, responseOf } from "./contract-material.js";
import { bundled, type Embedded, embeddedIn } from "./embedded-harness.js";

const thread = await bundled(t, "src/store/sqlite/thread-main.ts");
const frameBytes = 24 + 4096;

async function completed(store: RecordStore, count: number): Promise<Lease[]> {
  const leases: Lease[] = [];
  for (let index = 0; index < count; index++) {
    const lease = leaseOn(newKey());
    await store.claim(asking(lease));
    await store.complete(lease, answer(`answer to ${lease.token}`), origin);
    leases.push(lease);
  }
  return leases;
}

/** The folder as a killed process leaves it: what is in the WAL is not in the file yet. */
function copyOf(t: Test, embedded: Embedded): string {
  const copy = mkdtempSync(join(tmpdir(), "damaged-"));
  t.teardown(() => rmSync(copy, { recursive: true, force: true }));
  for (const name of ["records.sqlite", "records.sqlite-wal"]) cpSync(join(embedded.path, name), join(copy, name));
  return copy;
}

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at]! ^= 1;
  writeFileSync(file, bytes);
}

t.test(
  "one damaged bit of the WAL, with commits behind it, keeps the store from opening and loses nothing",
  async (t) => {
    const embedded = embeddedIn(thread);
    t.teardown(() => embedded.close());
    await completed(await embedded.open(), 20);
    const wal = readFileSync(join(embedded.path, "records.sqlite-wal"));
    const frames = Math.floor((wal.length - 32) / frameBytes);
    t.ok(frames > 20, `${frames} frames`);
    for (const [what, at] of Object.entries({
      "the header": 9,
      "a frame's header": 32 + 5 * frameBytes + 9,
      "a frame's checksum": 32 + 5 * frameBytes + 17,
      "a frame's page": 32 + 5 * frameBytes + 2000,
      "a page half way": 32 + Math.floor(frames / 2) * frameBytes + 3000,
    })) {
      const path = copyOf(t, embedded);
      flip(join(path, "records.sqlite-wal"), at);
      const before = readFileSync(join(path, "records.sqlite-wal"));
      const opening = openAt(path);
      await t.rejects(opening, { message: /^The data folder .* is damaged: records\.sqlite-wal at byte \d+/ }, what);
      t.ok(readFileSync(join(path, "records.sqlite-wal")).equals(before), "nothing was written over");
    }
  },
);

function openAt(path: string): Promise<RecordStore> {
  return openEmbeddedStore({ type: "embedded", path }, { thread, onTrouble: () => {} });
}

t.test("a torn last commit is no damage", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  await completed(await embedded.open(), 10);
  const path = copyOf(t, embedded);
  const file = join(path, "records.sqlite-wal");
  const wal = readFileSync(file);
  for (let bytes = wal.length; bytes > wal.length - 3 * frameBytes; bytes -= 700) {
    writeFileSync(file, wal.subarray(0, bytes));
    t.equal(damagedFrame(file), undefined, `${wal.length - bytes} bytes short`);
  }
  writeFileSync(file, Buffer.alloc(wal.length));
  t.equal(damagedFrame(file), undefined, "made, and never written");
  t.equal(damagedFrame(join(path, "absent")), undefined);
});

t.test("a damaged page is found at the start", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const store = await embedded.open();
  await completed(store, 200);
  await store.close();
  const file = join(embedded.path, "records.sqlite");
  const whole = readFileSync(file);
  for (const page of [3, Math.floor(whole.length / 4096) - 2]) {
    const damaged = Buffer.from(whole);
    damaged.fill(0xa5, page * 4096, page * 4096 + 200);
    writeFileSync(file, damaged);
    await t.rejects(embedded.open(), { message: /^The data folder .* is damaged: .*docs\/embedded-store\.md/ });
    t.ok(readFileSync(file).equals(damaged), "and nothing is written over it");
  }
});

t.test("a page that is found damaged at work stops everything that writes, by name", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const first = await embedded.open();
  const leases = await completed(first, 3000);
  await first.close();
  const [store, another] = [await embedded.open(), await embedded.open()];
  // What another connection has written since, no page in memory outlives.
  await another.claim(asking(leaseOn(newKey())));
  const file = join(embedded.path, "records.sqlite");
  const bytes = readFileSync(file);
  for (let page = 1; page < bytes.length / 4096; page++) bytes.fill(0xa5, page * 4096, page * 4096 + 100);
  writeFileSync(file, bytes);
  await t.rejects(store.claim(asking(leaseOn(leases[0]!.key))), StoreUnavailableError);
  const refusal = await store.claim(asking(leaseOn(newKey()))).catch((error: StoreUnavailableError) => error);
  t.match(refusal, { mayHaveRun: false, cause: { message: /^the records' file is damaged/ } });
  t.match(embedded.troubles.join("\n"), /damaged: nothing is written to it any more/);
});

t.test("a stored response that is not as it was written is not replayed", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const store = await embedded.open();
  const [spoilt, sound] = await completed(store, 2);
  const db = connect(embedded.path, 1024);
  const payload = db.prepare("SELECT payload FROM record WHERE id = unhex(?)").get(spoilt!.key) as {
    payload: Uint8Array;
  };
  payload.payload[payload.payload.length - 1]! ^= 1;
  db.prepare("UPDATE record SET payload = ? WHERE id = unhex(?)").run(payload.payload, spoilt!.key);
  db.close();
  await t.rejects(store.claim(asking(leaseOn(spoilt!.key))), StoreUnavailableError);
  await t.rejects(store.peek(spoilt!.key, true));
  t.equal((await store.claim(asking(leaseOn(sound!.key)))).kind, "done", "others are");
});

t.test("a thousand large replays at once are answered some at a time, and claims go on meanwhile", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const store = await embedded.open();
  const body = "x".repeat(1 << 20);
  const lease = leaseOn(newKey());
  await store.claim(asking(lease));
  await store.complete(lease, { kind: "response", response: responseOf(body) }, origin);
  let largest = 0;
  const meter = setInterval(() => {
    largest = Math.max(largest, process.memoryUsage().arrayBuffers);
  }, 5);
  const before = process.memoryUsage().arrayBuffers;
  let isOver = false;
  let claims = 0;
  const replays = Promise.all(
    Array.from({ length: 1000 }, async () => {
      const claim = await store.claim(asking(leaseOn(lease.key)));
      if (claim.kind !== "done" || claim.response.body.length !== body.length) t.fail(claim.kind);
    }),
  ).then(() => {
    isOver = true;
  });
  while (!isOver) {
    const claim = await store.claim(asking(leaseOn(newKey())));
    if (claim.kind === "won" && !isOver) claims++;
  }
  await replays;
  clearInterval(meter);
  t.ok(claims > 5, `${claims} claims meanwhile`);
  // What is answered is the caller's, until the garbage collector comes round: a few hundred MiB here, not a thousand.
  t.ok(largest - before < 700 * 2 ** 20, `${(largest - before) >> 20} MiB at most`);
});
