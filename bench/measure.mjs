// One turn of one peer: its load, and what the kernel says that cost.
import { load, quantile } from "./load.mjs";
import { cpuMicros, cpuTicks, residentMiB } from "./process.mjs";

export async function warmUp({ port, traffic }, seconds) {
  const endsAtMs = performance.now() + seconds * 1000;
  for (let leftMs = seconds * 1000; leftMs > 0; leftMs = endsAtMs - performance.now()) {
    const requests = Math.min(traffic.most ?? Number.POSITIVE_INFINITY, 1e9);
    await traffic.prepare?.(requests);
    await load({ port, requests, seconds: leftMs / 1000, ...traffic });
  }
}

/**
 * @param {{ port: number, pid: number, traffic: object }} peer `traffic` as in traffic.mjs
 * @param {{ seconds?: number, leadIn?: number }} options `leadIn`: so many requests before, under the same load, count for nothing
 */
export async function measure({ port, pid, traffic }, requests, { seconds = 60, leadIn = 0 } = {}) {
  const all = requests + leadIn;
  const whole = all - (all % (traffic.roundTo ?? 1)) || traffic.roundTo;
  await traffic.prepare?.(whole);
  let [cpu, ticks] = [cpuMicros(pid), cpuTicks(pid)];
  const onLedIn = () => {
    [cpu, ticks] = [cpuMicros(pid), cpuTicks(pid)];
  };
  const loaded = await load({ port, requests: whole, seconds, leadIn, onLedIn, ...traffic });
  const [cpuAfter, ticksAfter] = [cpuMicros(pid), cpuTicks(pid)];
  return {
    cpuMicros: (cpuAfter - cpu) / loaded.done,
    userTicks: ticksAfter.user - ticks.user,
    systemTicks: ticksAfter.system - ticks.system,
    throughput: loaded.done / loaded.seconds,
    p50Ms: quantile(loaded.latenciesMs, 0.5),
    p99Ms: quantile(loaded.latenciesMs, 0.99),
    residentMiB: residentMiB(pid),
    done: loaded.done,
    wrong: loaded.wrong,
  };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The medians of several turns; user and system share the median out as the ticks of all turns do. */
export function summary(turns) {
  const of = (field) => median(turns.map((turn) => turn[field]));
  const sum = (field) => turns.reduce((total, turn) => total + turn[field], 0);
  const cpu = of("cpuMicros");
  const systemShare = sum("systemTicks") / Math.max(1, sum("systemTicks") + sum("userTicks"));
  return {
    cpuMicros: cpu,
    userMicros: cpu * (1 - systemShare),
    systemMicros: cpu * systemShare,
    throughput: of("throughput"),
    p50Ms: of("p50Ms"),
    p99Ms: of("p99Ms"),
    residentMiB: of("residentMiB"),
    wrong: sum("wrong"),
    turns: turns.map((turn) => Math.round(turn.cpuMicros * 10) / 10),
  };
}
