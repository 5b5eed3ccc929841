import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import type { RecordKey } from "../../src/model.js";
import type { RecordStore } from "../../src/store/record-store.js";
import { asking, leaseOn, newKey } from "./contract-material.js";
import { bundled, type Embedded, embeddedIn } from "./embedded-harness.js";

const thread = await bundled(t, "src/store/sqlite/thread-main.ts");
const program = await bundled(t, "test/store/embedded-child.ts");

interface Told {
  readonly child: ChildProcess;
  /** Every line, in its order. */
  readonly lines: string[];
  readonly isGone: Promise<unknown>;
  reaches(lines: number): Promise<void>;
}

function begin(embedded: Embedded, width: number, keysFile = "-", ending = "close"): Told {
  const child = spawn(
    process.execPath,
    [fileURLToPath(program), embedded.path, thread.href, String(width), keysFile, ending],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  t.teardown(() => child.kill("SIGKILL"));
  const lines: string[] = [];
  let wanted = { count: Number.POSITIVE_INFINITY, reached: () => {} };
  const reader = createInterface({ input: child.stdout! });
  reader.on("line", (line) => {
    if (lines.push(line) >= wanted.count) wanted.reached();
  });
  const isGone = Promise.all([once(child, "exit"), once(reader, "close")]);
  return {
    child,
    lines,
    isGone,
    reaches: (count) =>
      new Promise((reached) => {
        wanted = { count, reached };
        if (lines.length >= count) reached();
        void isGone.then(() => reached());
      }),
  };
}

/** What was acknowledged is so: in flight for its token, or completed by it. */
async function checkAcknowledged(t: Test, store: RecordStore, lines: readonly string[]): Promise<number> {
  const stored = new Set(lines.filter((line) => line.startsWith("stored ")).map((line) => line.split(" ")[1]));
  let checked = 0;
  for (const line of lines) {
    const [word, key, token] = line.split(" ") as [string, RecordKey, string];
    if (word === "trouble") t.fail(line);
    if (word !== "won") continue;
    checked++;
    const claim = await store.claim(asking(leaseOn(key)));
    const isHeld = claim.kind === "held" && claim.flight === token.slice(0, 16);
    const isDone = claim.kind === "done" && claim.response.body.toString().startsWith(token);
    // A completion may have been on the disk although nobody lived to say so; never the other way round.
    if (!(isDone || (isHeld && !stored.has(key)))) t.fail(`${line}: a claim is told ${JSON.stringify(claim)}`);
  }
  return checked;
}

t.test("what was acknowledged before a kill -9 is there afterwards", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const all: string[] = [];
  for (let round = 0; round < 4; round++) {
    const told = begin(embedded, 8);
    await told.reaches(50 + Math.floor(Math.random() * 400));
    told.child.kill("SIGKILL");
    await told.isGone;
    all.push(...told.lines);
    const store = await embedded.open();
    t.ok((await checkAcknowledged(t, store, all)) >= 20, `round ${round}`);
    await store.close();
  }
});

t.test("of several processes one wins each key, and the others go on when one is killed", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const keys = Array.from({ length: 800 }, newKey);
  const keysFile = join(embedded.path, "keys");
  writeFileSync(keysFile, keys.join("\n"));
  const told = [begin(embedded, 4, keysFile), begin(embedded, 4, keysFile), begin(embedded, 4, keysFile)];
  const [victim, ...others] = told as [Told, Told, Told];
  await victim.reaches(100);
  victim.child.kill("SIGKILL");
  await Promise.all(told.map(({ isGone }) => isGone));

  const winners = new Map<string, number>();
  for (const { lines } of told) {
    for (const line of lines) {
      const [word, key] = line.split(" ") as [string, string];
      if (word === "won") winners.set(key, (winners.get(key) ?? 0) + 1);
    }
  }
  t.same(
    [...winners].filter(([, wins]) => wins > 1),
    [],
    "nobody won what another had won",
  );
  for (const { lines } of others) t.equal(lines.at(-1), "over", "they reached the end");
  const store = await embedded.open();
  await checkAcknowledged(
    t,
    store,
    told.flatMap(({ lines }) => lines),
  );
  for (const key of keys) {
    // Whoever is not told of was won by the process that died before it could say so.
    if (!winners.has(key)) t.not(await store.peek(key, false), undefined, `${key} belongs to somebody`);
  }
});

t.test("a process may end in the middle of its writing, and neither it nor others are held up", async (t) => {
  const embedded = embeddedIn(thread);
  t.teardown(() => embedded.close());
  const other = await embedded.open();
  for (let round = 0; round < 4; round++) {
    const told = begin(embedded, 16, "-", "exit");
    await told.isGone;
    t.equal(told.child.exitCode, 7, "it ended by itself");
    t.ok((await checkAcknowledged(t, other, told.lines)) > 0);
    t.equal((await other.claim(asking(leaseOn(newKey())))).kind, "won", "others go on");
  }
});
