import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import t, { type Test } from "tap";
import { Gate } from "../../src/store/embedded/gate.js";
import { Ledger } from "../../src/store/embedded/ledger.js";
import { at, completed, inFlight, isSettled } from "../../src/store/embedded/record.js";
import { frameHeadBytes, Segment } from "../../src/store/embedded/segment.js";
import { retireSegment, segmentFile } from "../../src/store/embedded/segment-files.js";
import { Sweeper } from "../../src/store/embedded/sweeper.js";
import { Trees } from "../../src/store/embedded/trees.js";
import { runs } from "../property-runs.js";

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), "embedded-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function frame(text: string): Buffer {
  return Buffer.concat([Buffer.alloc(frameHeadBytes), Buffer.from(text)]);
}

function readAll(segment: Segment): string[] {
  const found: string[] = [];
  for (let payload = segment.next(); payload !== undefined; payload = segment.next()) found.push(payload.toString());
  return found;
}

function damage(file: string, position: number, bytes: Buffer): void {
  const fd = openSync(file, "r+");
  writeSync(fd, bytes, 0, bytes.length, position);
  closeSync(fd);
}

t.test("a segment gives back what was appended, to whoever opens it", async (t) => {
  const folder = folderFor(t);
  const texts = ["a", "", "x".repeat(3_000_000), "last"];
  const segment = Segment.create(folder, 1);
  const other = Segment.open(folder, 1)!;
  for (const text of texts) {
    t.equal(other.hasNews(), false);
    segment.append(frame(text));
    t.equal(other.hasNews(), true);
    t.same(readAll(other), [text], "as it comes");
  }
  segment.seal();
  t.same(readAll(other), []);
  t.equal(other.isSealed, true);
  const empty = Segment.create(folder, 2);
  const reader = Segment.open(folder, 2)!;
  empty.seal();
  t.same(readAll(reader), []);
  t.equal(reader.isSealed, true, "also where nothing was before the seal");
  t.same(readAll(Segment.open(folder, 1)!), texts);
  t.equal(Segment.open(folder, 3), undefined);
});

t.test("a frame that was cut short or damaged is as good as never written, and is written over", async (t) => {
  const file = (folder: string) => segmentFile(folder, 1);
  for (const where of ["magic", "length", "payload", "end"] as const) {
    const folder = folderFor(t);
    const segment = Segment.create(folder, 1);
    segment.append(frame("first"));
    const position = segment.position;
    segment.append(frame("second, and longer than what comes instead of it"));
    const offset = { magic: 0, length: 8, payload: 40, end: frameHeadBytes + 40 }[where];
    damage(file(folder), position + offset, Buffer.alloc(16, 0xa5));
    const reopened = Segment.open(folder, 1)!;
    t.same(readAll(reopened), ["first"], where);
    t.equal(reopened.position, position);
    reopened.append(frame("third"));
    t.same(readAll(Segment.open(folder, 1)!), ["first", "third"]);
  }
});

t.test(
  "a file that serves again holds nothing of its earlier life, nor does a frame hidden in a response",
  async (t) => {
    const folder = folderFor(t);
    const old = Segment.create(folder, 1);
    for (let index = 0; index < 20; index++) old.append(frame("an old record"));
    const bytes = readFileSync(segmentFile(folder, 1)).subarray(64, 4096);
    retireSegment(folder, 1);
    const segment = Segment.create(folder, 3);
    t.same(readdirSync(folder), ["journal-0000000003"], "the same file");
    t.same(readAll(Segment.open(folder, 3)!), []);
    segment.append(frame("new"));
    t.same(readAll(Segment.open(folder, 3)!), ["new"]);
    // The frame around it torn, what it held lies where a frame may begin.
    segment.append(Buffer.concat([Buffer.alloc(frameHeadBytes), bytes]));
    damage(segmentFile(folder, 3), 64 + 2 * frameHeadBytes + 8 - frameHeadBytes, bytes);
    t.same(readAll(Segment.open(folder, 3)!), ["new"]);
  },
);

/** A record of which only `text` matters. */
function recordOf(id: string, state: number, text: string, expiresAtMs = 9e12): Buffer {
  const record = Buffer.alloc(at.names + text.length);
  record.write(id, at.id, "latin1");
  record[at.state] = state;
  record.writeDoubleLE(expiresAtMs, at.expiresAtMs);
  record.writeDoubleLE(1e12, at.updatedAtMs);
  record.write(text, at.names, "latin1");
  return record;
}

const ids = ["a", "b", "c", "d", "e"].map((letter) => letter.repeat(32));

type Step =
  | { do: "put"; by: number; id: number; isSettled: boolean; length: number }
  | { do: "remove"; by: number; id: number }
  | { do: "seal"; by: number }
  | { do: "reopen"; by: number }
  | { do: "file"; by: number; steps: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("put" as const),
      by: fc.nat(2),
      id: fc.nat(ids.length - 1),
      isSettled: fc.boolean(),
      length: fc.integer({ min: 0, max: 60 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), by: fc.nat(2), id: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("seal" as const), by: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reopen" as const), by: fc.nat(2) }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("file" as const), by: fc.nat(2), steps: fc.integer({ min: 1, max: 3 }) }),
  },
);

t.test("three ledgers on one folder are one, however they seal, file and are opened again", async (t) => {
  const run = async (steps: Step[]) => {
    const folder = folderFor(t);
    const trees = new Trees(folder, new Gate());
    const begin = () => {
      const ledger = new Ledger(folder, trees, 800, () => {});
      ledger.begin(1e12);
      return ledger;
    };
    const ledgers = [begin(), begin(), begin()];
    const wanted = new Map<string, string>();
    for (const [index, step] of steps.entries()) {
      const ledger = ledgers[step.by]!;
      if (step.do === "reopen") {
        // As after a kill: what it was about to do is forgotten.
        ledger.close();
        ledgers[step.by] = begin();
      } else if (step.do === "seal") ledger.seal();
      else if (step.do === "file") ledger.file(step.steps, 2e12);
      else if (step.do === "remove") {
        ledger.transact(() => ledger.stage(ids[step.id]!, "gone"));
        wanted.delete(ids[step.id]!);
      } else {
        const id = ids[step.id]!;
        const text = `${index}${"x".repeat(step.length)}`;
        ledger.transact(() => ledger.stage(id, recordOf(id, step.isSettled ? completed : inFlight, text)));
        wanted.set(id, text);
      }
      const reader = ledgers[index % ledgers.length]!;
      reader.transact(() => {
        for (const id of ids) {
          const found = reader.get(id)?.toString("latin1", at.names);
          if (found !== wanted.get(id)) throw new Error(`step ${index}: found ${found}, not ${wanted.get(id)}`);
        }
      });
    }
    while (ledgers[0]!.unfiled > 0) ledgers[0]!.file(10, 2e12);
    for (const ledger of ledgers) ledger.close();
    await trees.close();
  };
  const history = fc.array(step, { minLength: 5, maxLength: 40 });
  await fc.assert(fc.asyncProperty(history, run), runs(10, 40, 120_000));
  t.pass("no difference was found");
});

t.test("nothing is changed by work that fails", async (t) => {
  const folder = folderFor(t);
  const trees = new Trees(folder, new Gate());
  const ledger = new Ledger(folder, trees, 1 << 20, () => {});
  ledger.begin(1e12);
  ledger.transact(() => ledger.stage(ids[0]!, recordOf(ids[0]!, inFlight, "kept")));
  t.throws(() =>
    ledger.transact(() => {
      ledger.stage(ids[0]!, recordOf(ids[0]!, completed, "lost"));
      throw new Error("half way");
    }),
  );
  ledger.transact(() => t.equal(ledger.get(ids[0]!)?.toString("latin1", at.names), "kept"));
  ledger.close();
  await trees.close();
});

t.test("what is over is swept from the trees, a little at a time, and nothing else is", async (t) => {
  const folder = folderFor(t);
  const trees = new Trees(folder, new Gate());
  const ledger = new Ledger(folder, trees, 1 << 20, () => {});
  ledger.begin(1e12);
  const all = new Map<string, Buffer>();
  ledger.transact(() => {
    for (let index = 0; index < 900; index++) {
      const id = String(index).padStart(32, "i");
      const record = recordOf(id, index % 2 === 0 ? completed : inFlight, "", 1e12 + (index % 3) * 1e11 + 1e11);
      all.set(id, record);
      ledger.stage(id, record);
    }
  });
  ledger.seal();
  while (ledger.unfiled > 0) ledger.file(100, 1e12);
  const counts = () => [trees.open, trees.index, trees.log].map((tree) => [...tree.getKeys({})].length);
  t.same(counts(), [450, 450, 450]);
  const sweeper = new Sweeper();
  for (const nowMs of [1e12, 1.1e12, 1.25e12, 2e12]) {
    let most = 0;
    for (let turn = 0; turn < 40; turn++) trees.locked(() => (most = Math.max(most, sweeper.sweep(trees, nowMs, 50))));
    t.ok(most <= 150, "in small portions");
    const left = [...all.values()].filter((record) => record.readDoubleLE(at.expiresAtMs) > nowMs);
    const settled = left.filter(isSettled).length;
    t.same(counts(), [left.length - settled, settled, settled]);
  }
  ledger.close();
  await trees.close();
});
