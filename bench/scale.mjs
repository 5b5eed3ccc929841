#!/usr/bin/env node
// npm run bench:scale [duplicates keys bodies workers routes]: how cost grows. Without a name, all parts in turn.
// SCALE_TURNS (default 3), SCALE_REQUESTS a turn (default 3000), SCALE_WARMUP seconds for each gateway (default 8),
// SCALE_KEYS=10000,100000 sizes of the keys' part, SCALE_SECONDS for each of them (default 600), BENCH_FULL=1 goes on to ten million keys (and gives them three hours),
// SCALE_STORES=embedded the only store of the keys' part, which then keeps the other's older result,
// BENCH_RESULTS=0 writes no files. A part replaces its own older result only. Exit code 1 when an answer was wrong.
import { endAll } from "./process.mjs";
import { markdown } from "./report.mjs";
import { describeMachine, read, write } from "./results.mjs";
import { scaleParts } from "./scale/parts.mjs";
import { clearFolders } from "./stage.mjs";

const isFull = process.env.BENCH_FULL === "1";
const plan = {
  turns: Number(process.env.SCALE_TURNS ?? 3),
  requests: Number(process.env.SCALE_REQUESTS ?? 3000),
  sizes: (process.env.SCALE_KEYS ?? `10000,100000,1000000${isFull ? ",10000000" : ""}`).split(",").map(Number),
  warmupSeconds: Number(process.env.SCALE_WARMUP ?? 8),
  stores: (process.env.SCALE_STORES ?? "embedded,redis").split(","),
  seconds: Number(process.env.SCALE_SECONDS ?? (isFull ? 10_800 : 600)),
};
const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in scaleParts));
if (unknown.length > 0) {
  console.error(`no such part: ${unknown.join(", ")}; there are ${Object.keys(scaleParts).join(", ")}`);
  process.exit(2);
}

let wrong = 0;
// Before the first part: what loads the machine before a later one is the one before it.
const machine = describeMachine();
for (const name of names.length > 0 ? names : Object.keys(scaleParts)) {
  const part = scaleParts[name];
  try {
    const older = read("scale.json")?.parts[name];
    const data = await part.run({ ...plan, older, say: (text) => process.stderr.write(`${text}\n`) });
    const result = { at: new Date().toISOString(), machine: machine(), ...data };
    for (const { title, lines } of part.tables(result)) console.log(`\n${title}\n\n${markdown(lines)}`);
    wrong += countWrong(data);
    if (process.env.BENCH_RESULTS !== "0") {
      write("scale.json", { parts: { ...read("scale.json")?.parts, [name]: result } });
    }
  } finally {
    await endAll();
    clearFolders();
  }
}
console.log(`\n${wrong} wrong`);
process.exitCode = wrong > 0 ? 1 : 0;

function countWrong({ points, stores }) {
  const own = (point) => (point.wrong ?? 0) + (point.first?.wrong ?? 0) + (point.replay?.wrong ?? 0);
  const all = points ?? stores.flatMap((store) => store.points);
  return all.reduce((sum, point) => sum + own(point), 0);
}
