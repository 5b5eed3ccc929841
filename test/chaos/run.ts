import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { runEpisode } from "./episode.js";
import type { StoreKind } from "./history.js";
import { printed, Tally } from "./report.js";

const usage = `usage: npm run chaos -- [--histories N | --minutes N] [--seed S] [--store embedded|redis|both] [--gateways N]

Runs randomised crash-and-retry histories against real gateway processes, N for each store (default 1000), and checks
each against the upstream's own journal. Exit code 1 on a violation, with its history. The same seed plans the same
histories and faults; how they fall together is up to the machine.
`;

/** Keys of one episode: one set of processes, killed and started again several times. */
const episodeSize = 125;
/** Where the clock says when it is over. */
const shortEpisodeSize = 50;
const mostPrinted = 5;

interface Options {
  readonly histories: number;
  readonly minutes: number | undefined;
  readonly seed: number;
  readonly stores: readonly StoreKind[];
  /** 0: one, two and three in turn. */
  readonly gateways: number;
}

/** The number is the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  const options = parse(args);
  if (options === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  let histories = 0;
  let violations = 0;
  for (const store of options.stores) {
    const redisBinary = store === "redis" ? await findRedis() : undefined;
    if (store === "redis" && redisBinary === undefined) continue;
    const tally = await runStore(store, redisBinary, options);
    console.log(`\n${store}, seed ${options.seed}\n${tally}\n`);
    histories += tally.histories;
    violations += tally.violations;
  }
  console.log(`chaos: ${histories - violations} passed, ${violations} failed`);
  return violations === 0 && histories > 0 ? 0 : 1;
}

async function runStore(store: StoreKind, redisBinary: string | undefined, options: Options): Promise<Tally> {
  const tally = new Tally();
  const beganMs = performance.now();
  const shareMs = options.minutes && (options.minutes * 60_000) / options.stores.length;
  const isOver = () =>
    shareMs === undefined ? tally.histories >= options.histories : performance.now() - beganMs >= shareMs;
  for (let turn = 0; !isOver(); turn++) {
    const left = options.histories - tally.histories;
    const histories = shareMs === undefined ? Math.min(episodeSize, left) : shortEpisodeSize;
    const gateways = options.gateways || 1 + (turn % 3);
    const { seed } = options;
    const result = await runEpisode({ store, redisBinary, gateways, seed, first: tally.histories, histories });
    tally.add(result);
    const seconds = ((performance.now() - beganMs) / 1000).toFixed(0);
    const whole = result.violations.size === 0 ? "" : `, ${result.violations.size} VIOLATED`;
    console.log(
      `${store}: ${tally.histories} histories after ${seconds} s, last ${histories} on ${gateways} gateways${whole}`,
    );
    for (const [history, found] of [...result.violations].slice(0, mostPrinted)) {
      console.log(`\n${printed(history, found)}\n`);
    }
  }
  return tally;
}

async function findRedis(): Promise<string | undefined> {
  const script = fileURLToPath(new URL("../../scripts/redis.mjs", import.meta.url));
  try {
    return (await promisify(execFile)(process.execPath, [script])).stdout.trim();
  } catch (error) {
    if (process.env.CI) throw error;
    console.error(`*** NOT RUN AGAINST REDIS ***\n${(error as { stderr?: string }).stderr ?? error}`);
    return undefined;
  }
}

function parse(args: readonly string[]): Options | undefined {
  const text = { type: "string" } as const;
  const options = { histories: text, minutes: text, seed: text, store: text, gateways: text } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    const numbers = {
      histories: Number(values.histories ?? 1000),
      minutes: values.minutes === undefined ? undefined : Number(values.minutes),
      seed: Number(values.seed ?? Date.now() % 100_000),
      gateways: Number(values.gateways ?? 0),
    };
    if (Object.values(numbers).some((value) => value !== undefined && !(value >= 0))) return undefined;
    const store = values.store ?? "both";
    if (store !== "embedded" && store !== "redis" && store !== "both") return undefined;
    return { ...numbers, stores: store === "both" ? ["embedded", "redis"] : [store] };
  } catch {
    return undefined;
  }
}
