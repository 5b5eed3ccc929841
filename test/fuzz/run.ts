import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { escaped } from "./report.js";
import { fuzzRound, type RoundSeen } from "./round.js";

const usage = `usage: npm run fuzz -- [MINUTES] [--seed N]

Mutated HTTP/1.1 in both directions, for so many minutes (default 1), with \`server.fastPath\` on and off in turn. Exit code 1
on a violation, with the octets and the seed of its round. The same seed makes the same messages; how they fall together is up to the machine.
`;

const mostGrowthBytes = 128 * 1024 * 1024;

/** The number is the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  const options = parse(args);
  if (options === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  const faults: string[] = [];
  for (const event of ["uncaughtException", "unhandledRejection"] as const)
    process.on(event, (error: unknown) => faults.push(`${event}: ${(error as Error)?.stack ?? error}`));
  const { minutes, seed } = options;
  console.log(`fuzz: seed ${seed}, ${minutes} minutes`);
  const endMs = performance.now() + minutes * 60_000;
  const kinds = new Map<string, number>();
  const add = (name: string, count = 1) => kinds.set(name, (kinds.get(name) ?? 0) + count);
  let [messages, failed, restBytes] = [0, 0, 0];
  for (let round = 0; round === 0 || performance.now() < endMs; round++) {
    const roundSeed = seed + Math.floor(round / 2);
    const seen = await fuzzRound(roundSeed, round % 2 === 0, endMs);
    for (const kind of seen.sent) add(`request: ${kind}`);
    for (const [kind, count] of seen.answers) add(`answer: ${kind}`, count);
    messages += seen.sent.length + [...seen.answers.values()].reduce((sum, count) => sum + count, 0);
    failed += tell(seen, roundSeed, round % 2 === 0);
    // The first rounds compile and cache.
    if (round <= 1) restBytes = heapBytes();
  }
  const grownBytes = heapBytes() - restBytes;
  if (grownBytes > mostGrowthBytes) faults.push(`the heap grew by ${grownBytes} bytes`);
  for (const fault of faults) console.log(`VIOLATION: ${fault} (seed ${seed})`);
  failed += faults.length;
  for (const [kind, count] of [...kinds].sort()) console.log(`${String(count).padStart(7)} ${kind}`);
  console.log(`fuzz: seed ${seed}, heap ${Math.round(grownBytes / 1024 / 1024)} MiB above its start`);
  console.log(`fuzz: ${Math.max(0, messages - failed)} passed, ${failed} failed`);
  return failed === 0 && messages > 0 ? 0 : 1;
}

function tell(seen: RoundSeen, seed: number, fastPath: boolean): number {
  for (const { what, detail, session } of seen.violations.slice(0, 10)) {
    console.log(`VIOLATION: ${what} (seed ${seed}, fastPath ${fastPath})\n  ${escaped(detail)}`);
    if (session === undefined) continue;
    console.log(`  connection ${session.id}: ${session.kinds.join(", ")}`);
    console.log(`  sent     ${escaped(session.sent)}\n  received ${escaped(session.received)}`);
  }
  return seen.violations.length;
}

function heapBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

function parse(args: readonly string[]): { minutes: number; seed: number } | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { seed: { type: "string" } },
      allowPositionals: true,
    });
    const minutes = Number(positionals[0] ?? 1);
    const seed = Number(values.seed ?? Date.now() % 1_000_000);
    return minutes > 0 && Number.isSafeInteger(seed) && positionals.length <= 1 ? { minutes, seed } : undefined;
  } catch {
    return undefined;
  }
}
