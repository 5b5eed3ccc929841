// bench/herd.mjs as a part of the whole run: started by itself, its figures read from what it prints.
import { spawn } from "node:child_process";
import { here } from "./stage.mjs";

/** @returns {Promise<{ rounds: number, dispatches: number, spreadMs: number, leastMs: number, mostMs: number, waiters: number, waitersMiB: number, wrong: number }>} */
export async function runHerd(rounds) {
  const output = await new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [here("herd.mjs")], {
      env: { ...process.env, HERD_ROUNDS: String(rounds) },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part) => {
      text += part;
    });
    const timer = setTimeout(() => child.kill("SIGTERM"), 300_000);
    child.on("error", reject);
    child.on("close", () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
  const find = (pattern) => {
    const found = pattern.exec(output);
    if (found === null) throw new Error(`bench/herd.mjs ended without its figures ${output.trim()}`.trim());
    return found.slice(1);
  };
  const [spreadMs, leastMs, mostMs] = find(/first answer to last, ms +median ([\d.]+), from ([\d.]+) to ([\d.]+)/).map(
    Number,
  );
  const [waiters, waitersMiB] = find(/^(\d+) waiters in one process: (-?[\d.]+) MiB/m).map(Number);
  const dispatches = Math.max(
    ...find(/dispatches a round +([\d ]+)/)[0]
      .trim()
      .split(" ")
      .map(Number),
  );
  return {
    rounds,
    dispatches,
    spreadMs,
    leastMs,
    mostMs,
    waiters,
    waitersMiB,
    wrong: Number(find(/^(\d+) wrong/m)[0]),
  };
}
