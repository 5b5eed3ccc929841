import { type EpisodeResult, runEpisode } from "./episode.js";
import { crashesOf } from "./faults.js";
import { printed, Tally } from "./report.js";
import { Rig } from "./rig.js";
import type { Options } from "./run.js";
import { topologies } from "./stage.js";

/** Keys of one episode: one set of processes, killed and started again several times. */
const episodeSize = 125;
const mostPrinted = 5;

/** As many histories on each store as were asked for, while gateways and Redis are killed and paused. */
export async function crashRun(options: Options, redisBinary: string | undefined): Promise<Tally[]> {
  const tallies: Tally[] = [];
  for (const store of options.stores) {
    if (store === "redis" && redisBinary === undefined) continue;
    const tally = await runStore(store, redisBinary, options);
    console.log(`\n${store}, seed ${options.seed}\n${tally}\n`);
    tallies.push(tally);
  }
  return tallies;
}

async function runStore(store: string, redisBinary: string | undefined, options: Options): Promise<Tally> {
  const tally = new Tally();
  const beganMs = performance.now();
  const known = topologies[store === "redis" ? "one Redis, two gateways" : "embedded, three processes"]!;
  const { seed, histories: wanted = 0 } = options;
  for (let turn = 0; tally.histories < wanted; turn++) {
    const histories = Math.min(episodeSize, wanted - tally.histories);
    const gateways = options.gateways || 1 + (turn % 3);
    const rig = await Rig.start({ topology: { ...known, gateways }, redisBinary });
    let result: EpisodeResult;
    try {
      result = await runEpisode(rig, { seed, first: tally.histories, histories, faults: crashesOf(known) });
    } finally {
      await rig.stop();
    }
    tally.add(result);
    const seconds = ((performance.now() - beganMs) / 1000).toFixed(0);
    const whole = result.violations.size === 0 ? "" : `, ${result.violations.size} VIOLATED`;
    console.log(
      `${store}: ${tally.histories} histories after ${seconds} s, last ${histories} on ${gateways} gateways${whole}`,
    );
    printViolations(result);
  }
  return tally;
}

export function printViolations({ violations }: EpisodeResult): void {
  for (const [history, found] of [...violations].slice(0, mostPrinted)) console.log(`\n${printed(history, found)}\n`);
}
