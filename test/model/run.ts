import { explore } from "./explore.js";
import { deep, mutated, sound, uncovered } from "./scenarios.js";

/** Beyond this a search is cut off, and says so. */
const mostStates = 3_000_000;

/** The number is the exit code. */
export async function run(): Promise<number> {
  let [passed, failed] = [0, 0];
  const judge = (isRight: boolean) => {
    if (isRight) passed += 1;
    else failed += 1;
  };
  console.log("Nothing may be found:\n");
  for (const [name, scenario] of [...Object.entries(sound), ...Object.entries(deep)]) {
    const beganMs = performance.now();
    const { states, steps, depth, isWhole, counterexample } = await explore(scenario, { mostStates });
    const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
    const extent = isWhole ? "whole" : counterexample === undefined ? "cut off" : "broken";
    console.log(`  ${name.padEnd(64)} ${numbers(states, steps)} ${depth} deep, ${extent}, ${seconds} s`);
    if (counterexample !== undefined) tell(counterexample);
    judge(counterexample === undefined);
  }
  for (const [title, flawed] of [
    ["A guard is taken away, and its absence has to be found", mutated],
    ["Known not to be covered, and to be found as well", uncovered],
  ] as const) {
    console.log(`\n${title}:\n`);
    for (const [name, { scenario, isDouble }] of Object.entries(flawed)) {
      const { states, steps, counterexample } = await explore(scenario, { mostStates, onlyDispatches: isDouble });
      console.log(`  ${name.padEnd(80)} ${numbers(states, steps)}`);
      if (counterexample !== undefined) tell(counterexample);
      judge(counterexample !== undefined);
    }
  }
  console.log(`\nmodel: ${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

function numbers(states: number, steps: number): string {
  return `${String(states).padStart(9)} states ${String(steps).padStart(9)} steps`;
}

function tell({ what, trace }: { readonly what: string; readonly trace: readonly string[] }): void {
  for (const step of trace) console.log(`      ${step}`);
  console.log(`      → ${what}\n`);
}
