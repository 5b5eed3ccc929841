// Medians, ratios, and what they should be.
const goals = [
  { row: "first, redis", to: "http-proxy", atMost: 0.65 },
  { row: "first, redis", to: "nginx+lua+redis", atMost: 1.2 },
  { row: "first, embedded", to: "http-proxy", atMost: 0.55 },
  { row: "replay, redis", to: "http-proxy", atMost: 0.25 },
  { row: "replay, redis", to: "nginx+lua+redis, replay", atMost: 1.0 },
  { row: "replay, embedded", to: "http-proxy", atMost: 0.25 },
  { row: "unprotected", to: "http-proxy", atMost: 1.05 },
];

export function rows(peers, measured) {
  return peers.map(({ name }) => {
    const rounds = measured.get(name);
    const of = (field) => median(rounds.map((round) => round[field]));
    return {
      name,
      cpuMicros: of("cpuMicros"),
      throughput: of("throughput"),
      p50Ms: of("p50Ms"),
      p99Ms: of("p99Ms"),
      residentMiB: of("residentMiB"),
      wrong: rounds.reduce((sum, round) => sum + round.wrong, 0),
      rounds: rounds.map(({ cpuMicros }) => Math.round(cpuMicros * 10) / 10),
    };
  });
}

export function verdicts(table) {
  const cpuOf = (name) => table.find((row) => row.name === name)?.cpuMicros;
  const list = goals.flatMap(({ row, to, atMost }) => {
    const [own, peer] = [cpuOf(row), cpuOf(to)];
    if (own === undefined || peer === undefined) return [];
    const ratio = own / peer;
    return [{ row, to, ratio: Math.round(ratio * 1000) / 1000, atMost, isMet: ratio <= atMost }];
  });
  const head = ["", "CPU µs/request", "requests/s", "p50 ms", "p99 ms", "MiB", "wrong"];
  const cells = table.map((row) => [
    row.name,
    row.cpuMicros.toFixed(1),
    row.throughput.toFixed(0),
    row.p50Ms.toFixed(2),
    row.p99Ms.toFixed(2),
    row.residentMiB.toFixed(0),
    String(row.wrong),
  ]);
  const widths = head.map((text, i) => Math.max(text.length, ...cells.map((line) => line[i].length)));
  const line = (parts) =>
    parts.map((part, i) => (i === 0 ? part.padEnd(widths[i]) : part.padStart(widths[i]))).join("  ");
  const judged = list.map(
    ({ row, to, ratio, atMost, isMet }) =>
      `${isMet ? "met    " : "NOT MET"}  ${row} = ${ratio} × ${to} (at most ${atMost})`,
  );
  return { list, text: [line(head), ...cells.map(line), "", ...judged].join("\n") };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
