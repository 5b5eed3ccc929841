#!/usr/bin/env node
// npm run bench: CPU time per request of each peer under the same load, in one run, interleaved. Needs `npm run build`.
// BENCH_ROUNDS (default 6), BENCH_REQUESTS a round and peer (default 12000), BENCH_LEAD_IN more before them that do not count
// (default 4000), BENCH_WARMUP seconds a peer (default 15),
// BENCH_ONLY="http-proxy;first, redis" rows, BENCH_HERD rounds of the herd on three processes (default 24, 0: none),
// BENCH_RESULTS=0 writes no files. Exit code 1 only when an answer was wrong.
import { verdicts } from "./goals.mjs";
import { runHerd } from "./herd-run.mjs";
import { measure, summary, warmUp } from "./measure.mjs";
import { openPeers } from "./peers.mjs";
import { plot } from "./plot.mjs";
import { endAll } from "./process.mjs";
import { aligned, cells, told } from "./report.mjs";
import { describeMachine, read, write } from "./results.mjs";
import { countRoundTrips } from "./round-trips.mjs";
import { clearFolders } from "./stage.mjs";

const rounds = Number(process.env.BENCH_ROUNDS ?? 6);
const requests = Number(process.env.BENCH_REQUESTS ?? 12000);
const leadIn = Number(process.env.BENCH_LEAD_IN ?? 4000);
const warmupSeconds = Number(process.env.BENCH_WARMUP ?? 15);
const herdRounds = Number(process.env.BENCH_HERD ?? 24);
const only = (process.env.BENCH_ONLY ?? "").split(";").filter(Boolean);
const say = (text) => process.stderr.write(`${text}\n`);

try {
  const machine = describeMachine();
  const { peers, notes } = await openPeers(only);
  for (const note of notes) say(note);
  for (const peer of peers) await warmUp(peer, warmupSeconds);
  const turns = new Map(peers.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    // To and fro, so that nobody is always measured after the same neighbour.
    for (const peer of round % 2 === 0 ? peers : peers.toReversed()) {
      turns.get(peer.name).push(await measure(peer, requests, { leadIn }));
    }
    say(`round ${round + 1} of ${rounds}`);
  }
  const table = peers.map(({ name }) => ({ name, ...summary(turns.get(name)) }));
  await endAll();
  const roundTrips = only.length === 0 ? await countRoundTrips() : undefined;
  await endAll();
  let herd;
  let herdFailures = 0;
  if (only.length === 0 && herdRounds > 0) {
    try {
      herd = await runHerd(herdRounds);
    } catch (error) {
      // What was measured before must not be lost with it; it fails the run all the same.
      notes.push(`without the herd on three processes: ${error.message}`);
      herdFailures = 1;
    }
  }
  const keys = read("scale.json")?.parts?.keys;
  const result = {
    at: new Date().toISOString(),
    machine: machine(),
    plan: { rounds, requests, leadIn, warmupSeconds },
    notes,
    peers: table,
    roundTrips,
    herd,
    verdicts: verdicts({ table, roundTrips, herd, keys: keys?.stores }),
  };
  console.log(aligned(cells(table)));
  console.log(`\n${[...notes, ...result.verdicts.map(told)].join("\n")}`);
  if (keys === undefined) console.log("memory over many keys is not judged: run `npm run bench:scale keys` first");
  else console.log(`memory over many keys is from bench:scale of ${keys.at.slice(0, 10)}`);
  if (process.env.BENCH_RESULTS !== "0") {
    write("latest.json", result);
    write("latest.svg", plot(result));
  }
  const wrong = table.reduce((sum, row) => sum + row.wrong, herd?.wrong ?? herdFailures);
  process.exitCode = wrong > 0 ? 1 : 0;
} finally {
  await endAll();
  clearFolders();
}
