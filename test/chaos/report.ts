import type { Violation } from "./checker.js";
import type { EpisodeResult } from "./episode.js";
import type { Asked, History } from "./history.js";

/** What came of several episodes, in numbers. */
export class Tally {
  histories = 0;
  requests = 0;
  dispatches = 0;
  violations = 0;
  /** Histories with a second dispatch that is known to be possible there. */
  named = 0;
  readonly faults = new Map<string, number>();
  readonly answers = new Map<string, number>();
  readonly endings = new Map<string, number>();

  /** Those that were made on purpose. */
  get faultCount(): number {
    return [...this.faults].reduce((sum, [kind, times]) => (kind === "machine busy" ? sum : sum + times), 0);
  }

  add({ histories, faults, violations, named }: EpisodeResult): void {
    this.named += named;
    this.histories += histories.length;
    this.violations += violations.size;
    for (const { kind } of faults) count(this.faults, kind);
    for (const { requests, dispatches, ending } of histories) {
      this.requests += requests.length;
      this.dispatches += dispatches.length;
      for (const { result } of requests) count(this.answers, describe(result));
      count(this.endings, ending?.state ?? "not looked at");
    }
  }

  toString(): string {
    const rows: [string, number | string][] = [
      ["histories", this.histories],
      ["requests", this.requests],
      ["dispatches", this.dispatches],
      ...listed("fault", this.faults),
      ...listed("answer", this.answers),
      ...listed("ended", this.endings),
      ["second dispatches, named", this.named],
      ["violations", this.violations],
    ];
    return rows.map(([name, value]) => `  ${name.padEnd(52)} ${String(value).padStart(8)}`).join("\n");
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function listed(what: string, counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([, a], [, b]) => b - a).map(([name, value]) => [`${what}: ${name}`, value]);
}

function describe(result: Asked["result"]): string {
  if (result.kind === "nothing")
    return /no answer within/.test(result.why) ? "hung up" : `none (${result.why.replace(/ [\d.]+:\d+/, "")})`;
  if (result.code !== undefined) return `${result.status} ${result.code}`;
  return `${result.status} of the upstream, ${result.isReplayed ? "repeated" : "its own"}`;
}

/** One history in full, in order of time. */
export function printed(history: History, violations: readonly Violation[]): string {
  const lines: [atMs: number, text: string][] = [];
  for (const { client, gateway, variant, atMs, endedAtMs, result } of history.requests) {
    const age = result.kind === "answer" && result.hasAge ? ", with Age" : "";
    const of = result.kind === "answer" && result.dispatch !== null ? ` (dispatch ${result.dispatch})` : "";
    lines.push([atMs, `${client} sends body ${variant} to gateway ${gateway}`]);
    lines.push([endedAtMs, `${client} gets ${describe(result)}${of}${age}`]);
  }
  for (const { n, variant, atMs, behaviour, status, isExecuted, answeredAtMs } of history.dispatches) {
    lines.push([
      atMs,
      `the upstream gets dispatch ${n}, body ${variant}: ${behaviour}${isExecuted ? "" : ", not executed"}`,
    ]);
    if (answeredAtMs !== null) lines.push([answeredAtMs, `the upstream answers dispatch ${n} with ${status}`]);
  }
  for (const { kind, gateway, fromMs, toMs } of history.faults) {
    const where = gateway === null ? "" : ` of gateway ${gateway}`;
    lines.push([fromMs, `*** ${kind}${where}`]);
    lines.push([toMs, `*** ${kind}${where} is over`]);
  }
  const { ending } = history;
  if (ending !== undefined) {
    const retry = ending.retry === undefined ? "nothing" : describe(ending.retry);
    lines.push([
      ending.atMs,
      `the record is ${ending.state} (${ending.dispatches} dispatches); a request then gets ${retry}`,
    ]);
    if (ending.resolved !== undefined) {
      const after = ending.resolved.retry === undefined ? "nothing" : describe(ending.resolved.retry);
      lines.push([ending.resolved.atMs, `the operator says ${ending.resolved.outcome}; a request then gets ${after}`]);
    }
  }
  const timeline = lines.sort(([a], [b]) => a - b).map(([atMs, text]) => `  ${atMs.toFixed(1).padStart(10)}  ${text}`);
  const found = violations.map(({ rule, what }) => `  VIOLATION of "${rule}": ${what}`);
  return [`not ok - ${history.key}, route ${history.route}, store ${history.store}`, ...found, ...timeline].join("\n");
}
