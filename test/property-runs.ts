/** What fast-check takes as the parameters of a run. */
export interface Runs {
  readonly numRuns: number;
  readonly interruptAfterTimeLimit?: number;
  readonly markInterruptAsFailure?: true;
}

/**
 * How often a property is tried: the first number on a developer's machine, the second where `CI` is set, times
 * `PROPERTY_RUNS` where that is set.
 *
 * No time limit unless a caller names one, and a run that is cut short fails: fast-check then says how many values were
 * tried. A slow machine may not try less and report success.
 */
export function runs(few: number, inCi: number, atMostMs?: number): Runs {
  const numRuns = (process.env.CI ? inCi : few) * Number(process.env.PROPERTY_RUNS ?? 1);
  if (atMostMs === undefined) return { numRuns };
  return { numRuns, interruptAfterTimeLimit: atMostMs, markInterruptAsFailure: true };
}
