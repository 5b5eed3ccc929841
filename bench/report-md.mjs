#!/usr/bin/env node
// node bench/report-md.mjs: writes the tables of docs/performance.md from what is in bench/results. With --check it writes
// nothing, and fails when the page is not what the results say.
import { readFileSync, writeFileSync } from "node:fs";
import { thousands } from "./goals.mjs";
import { cells, markdown } from "./report.mjs";
import { read } from "./results.mjs";
import { bytesEach } from "./scale/keys.mjs";
import { scaleParts } from "./scale/parts.mjs";

const page = new URL("../docs/performance.md", import.meta.url);
const [run, scale] = [read("latest.json"), read("scale.json")?.parts ?? {}];

const about = ({ at, machine }) =>
  `${at.slice(0, 10)}, ${machine.cpu}, ${machine.cores} cores, node ${machine.node}; load average ${machine.load.join(" before and ")} after${isBusy(machine) ? ". **The machine was busy with other work: absolute figures are too high, and ratios are rough.**" : "."}`;
/** The load itself keeps three processes running; what was there before it is other people's. */
const isBusy = ({ load, cores }) => load[0] > cores / 2;

const regions = {
  machine: () =>
    `Measured ${about(run)} ${run.plan.rounds} rounds of ${thousands(run.plan.requests)} requests after ${thousands(run.plan.leadIn)} that do not count, ${run.plan.warmupSeconds} s of warm-up each.`,
  cpu: () => [markdown(cells(run.peers)), ...run.notes].join("\n\n"),
  goals: () =>
    markdown([
      ["goal", "measured", "at most", ""],
      ...run.verdicts.map(({ goal, value, atMost, isMet, remark }) => [
        remark === undefined ? goal : `${goal} (${remark})`,
        String(value),
        String(atMost),
        isMet ? "met" : "**NOT MET**",
      ]),
    ]),
  sizing: () => markdown(sizing()),
};
for (const [name, part] of Object.entries(scaleParts)) {
  regions[name] = () => {
    const data = scale[name];
    if (data === undefined) return `Not measured yet: \`npm run bench:scale ${name}\`.`;
    const tables = part.tables(data).map(({ title, lines }) => `**${title}**\n\n${markdown(lines)}`);
    return [...tables, `Measured ${about(data)}`].join("\n\n");
  };
}

const before = readFileSync(page, "utf8");
const after = before.replace(
  /(<!-- bench:(\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
  (_, open, name, close) =>
    `${open}\n${run === undefined ? "Not measured yet: `npm run bench`." : regions[name]()}\n\n${close}`,
);
if (after === before) {
  console.log("docs/performance.md: up to date");
} else if (process.argv.includes("--check")) {
  console.log("docs/performance.md: out of date; run `node bench/report-md.mjs`");
  process.exitCode = 1;
} else {
  writeFileSync(page, after);
  console.log("docs/performance.md: written");
}

/** From the run's own figures, so that they cannot tell something else than the tables. */
function sizing() {
  const cpuOf = (name) => run.peers.find((row) => row.name === name)?.cpuMicros;
  // A process has one thread that does the work, and at 60 % of it the queue before it is still short.
  const replicas = (micros) => (micros === undefined ? "?" : ((micros * 1000) / 1e6 / 0.6).toFixed(2));
  const keysOf = (store) => scale.keys?.stores.find((one) => one.store === store)?.points;
  const gib = (points, field) =>
    points === undefined ? "?" : `${((bytesEach(points, field) * 1e6) / 2 ** 30).toFixed(2)} GiB`;
  const [redis, embedded] = [keysOf("redis"), keysOf("embedded")];
  return [
    ["for", "take"],
    ["1,000 first requests a second, Redis", `${replicas(cpuOf("first, redis"))} replicas of one worker`],
    ["1,000 first requests a second, embedded", `${replicas(cpuOf("first, embedded"))} workers`],
    ["1,000 replays a second, Redis", `${replicas(cpuOf("replay, redis, cold"))} replicas of one worker`],
    ["1,000 unprotected requests a second", `${replicas(cpuOf("unprotected"))} replicas of one worker`],
    ["a million records, Redis", `${gib(redis, "redisMiB")} of Redis memory`],
    ["a million records, embedded", `${gib(embedded, "diskMiB")} of disk`],
  ];
}
