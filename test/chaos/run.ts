import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { breaksTable } from "./breaks.js";
import { crashRun } from "./crash-run.js";
import { matrixRun } from "./matrix.js";

const usage = `usage: npm run chaos -- [--minutes N] [--seed S] [--store embedded|redis|both] [--only TEXT]
       npm run chaos -- --histories N [--seed S] [--store embedded|redis|both] [--gateways N]
       npm run chaos -- --breaks N

Randomised histories against real gateway processes, each checked against the upstream's own journal. Exit code 1 on a
violation, with its history. The same seed plans the same histories and faults; how they fall together is up to the
machine.

--minutes    every store and topology under every kind of fault, for about so long together (default 10), as a table;
             with less than four seconds for each every topology under all its faults at once. --only: rows whose name has this in it
--histories  so many on each store, gateways killed, paused and drained, the store shaken
--breaks     the second dispatches that are known to be possible, made to happen in so many rounds each
`;

export interface Options {
  readonly minutes: number;
  readonly histories: number | undefined;
  readonly breaks: number | undefined;
  readonly seed: number;
  readonly stores: readonly ("embedded" | "redis")[];
  /** 0: one, two and three in turn. */
  readonly gateways: number;
  readonly only: string;
}

/** The number is the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  const options = parse(args);
  if (options === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  const redisBinary = options.stores.includes("redis") ? await findRedis() : undefined;
  // Whatever is still to be tidied up when the user has had enough: servers and gateways end with this process.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  if (options.breaks !== undefined) return breaksTable(redisBinary, options.breaks);
  const tallies = await (options.histories === undefined ? matrixRun : crashRun)(options, redisBinary);
  const histories = tallies.reduce((sum, tally) => sum + tally.histories, 0);
  const violations = tallies.reduce((sum, tally) => sum + tally.violations, 0);
  console.log(`chaos: ${histories - violations} passed, ${violations} failed`);
  return violations === 0 && histories > 0 ? 0 : 1;
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
  const names = ["histories", "minutes", "seed", "store", "gateways", "only", "breaks"] as const;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: Object.fromEntries(names.map((name) => [name, text])) as Record<(typeof names)[number], typeof text>,
    });
    const number = (value: string | undefined) => (value === undefined ? undefined : Number(value));
    const numbers = {
      minutes: number(values.minutes) ?? 10,
      histories: number(values.histories),
      breaks: number(values.breaks),
      seed: number(values.seed) ?? Date.now() % 100_000,
      gateways: number(values.gateways) ?? 0,
    };
    if (Object.values(numbers).some((value) => value !== undefined && !(value >= 0))) return undefined;
    const store = values.store ?? "both";
    if (store !== "embedded" && store !== "redis" && store !== "both") return undefined;
    return { ...numbers, stores: store === "both" ? ["embedded", "redis"] : [store], only: values.only ?? "" };
  } catch {
    return undefined;
  }
}
