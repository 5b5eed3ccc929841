import { printViolations } from "./crash-run.js";
import { runEpisode } from "./episode.js";
import { faultKinds, faultsOf } from "./faults.js";
import { Tally } from "./report.js";
import { Rig } from "./rig.js";
import type { Options } from "./run.js";
import { topologies } from "./stage.js";

interface Row {
  readonly topology: string;
  readonly fault: string;
  readonly faults: readonly string[];
}

/** A row needs some seconds, or nothing happens in it: with less time for each there is one row for each topology. */
const shortestRowMs = 4_000;
const mostHistories = 10_000;

/** Every topology under every kind of fault, as a table. */
export async function matrixRun(options: Options, redisBinary: string | undefined): Promise<Tally[]> {
  const all = rowsOf(options, redisBinary !== undefined);
  const rowMs = (options.minutes * 60_000) / all.length;
  const rows = rowMs >= shortestRowMs ? all : mixed(all);
  const ms = Math.max(rowMs, (options.minutes * 60_000) / rows.length);
  const tallies = new Map<Row, Tally>();
  console.log(`seed ${options.seed}, ${rows.length} rows of ${(ms / 1000).toFixed(0)} s each\n`);
  console.log(`${line("topology", "fault", ["histories", "requests", "dispatches", "faults", "named", "violations"])}`);
  let first = 0;
  for (const topology of new Set(rows.map((row) => row.topology))) {
    const rig = await Rig.start({ topology: topologies[topology]!, redisBinary });
    try {
      for (const row of rows.filter((each) => each.topology === topology)) {
        const { seed } = options;
        const result = await runEpisode(rig, { seed, first, histories: mostHistories, ms, faults: row.faults });
        // An even number, or neighbours that share a key would be parted.
        first += result.histories.length + (result.histories.length % 2);
        const tally = new Tally();
        tally.add(result);
        tallies.set(row, tally);
        console.log(shown(row.topology, row.fault, tally));
        printViolations(result);
      }
    } finally {
      await rig.stop();
    }
  }
  const whole = [...tallies.values()];
  console.log(`${line("all", "", numbersOf(whole))}\n`);
  return whole;
}

function rowsOf({ stores, only }: Options, hasRedis: boolean): Row[] {
  return Object.entries(topologies).flatMap(([topology, known]) => {
    const isEmbedded = topology.startsWith("embedded");
    if (!stores.includes(isEmbedded ? "embedded" : "redis") || (!isEmbedded && !hasRedis)) return [];
    const rows = faultsOf(known).map((fault) => ({ topology, fault, faults: [fault] }));
    return rows.filter(({ fault }) => `${topology}: ${fault}`.includes(only));
  });
}

function mixed(rows: readonly Row[]): Row[] {
  const isAlone = ({ fault }: Row) => faultKinds[fault]?.isAlone === true;
  return [...new Set(rows.map(({ topology }) => topology))].flatMap((topology) => {
    const own = rows.filter((row) => row.topology === topology);
    const together = own.filter((row) => !isAlone(row)).flatMap((row) => row.faults);
    // Like another one, or there only to show a break: nothing for a short run.
    if (together.length === 0 || topologies[topology]?.isLikeAnother === true) return [];
    return [{ topology, fault: "all of them", faults: together }, ...own.filter(isAlone)];
  });
}

function shown(topology: string, fault: string, tally: Tally): string {
  return line(topology, fault, numbersOf([tally]));
}

function numbersOf(tallies: readonly Tally[]): number[] {
  const sum = (of: (tally: Tally) => number) => tallies.reduce((total, tally) => total + of(tally), 0);
  return [
    sum(({ histories }) => histories),
    sum(({ requests }) => requests),
    sum(({ dispatches }) => dispatches),
    sum(({ faultCount }) => faultCount),
    sum(({ named }) => named),
    sum(({ violations }) => violations),
  ];
}

/** A row of a Markdown table. */
function line(topology: string, fault: string, numbers: readonly (number | string)[]): string {
  const cells = numbers.map((value) => String(value).padStart(10));
  return `| ${topology.padEnd(40)} | ${fault.padEnd(39)} | ${cells.join(" | ")} |`;
}
