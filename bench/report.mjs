// A run as text for people.
const columns = [
  ["", (row) => row.name],
  ["CPU µs/request", (row) => row.cpuMicros.toFixed(1)],
  ["user", (row) => row.userMicros.toFixed(1)],
  ["system", (row) => row.systemMicros.toFixed(1)],
  ["requests/s", (row) => row.throughput.toFixed(0)],
  ["p50 ms", (row) => row.p50Ms.toFixed(2)],
  ["p99 ms", (row) => row.p99Ms.toFixed(2)],
  ["MiB", (row) => row.residentMiB.toFixed(0)],
  ["wrong", (row) => String(row.wrong)],
];

/** @returns {string[][]} the head and a line for each row */
export function cells(table) {
  return [columns.map(([head]) => head), ...table.map((row) => columns.map(([, text]) => text(row)))];
}

export function aligned(lines) {
  const widths = lines[0].map((_, at) => Math.max(...lines.map((line) => line[at].length)));
  const pad = (text, at) => (at === 0 ? text.padEnd(widths[at]) : text.padStart(widths[at]));
  return lines.map((line) => line.map(pad).join("  ").trimEnd()).join("\n");
}

export function markdown(lines) {
  const [head, ...rest] = lines.map((line) => `| ${line.join(" | ")} |`);
  return [head, `|${lines[0].map((_, at) => (at === 0 ? "---" : "---:")).join("|")}|`, ...rest].join("\n");
}

export function told({ goal, value, atMost, isMet, remark }) {
  return `${isMet ? "met    " : "NOT MET"}  ${goal}: ${value} (at most ${atMost})${remark === undefined ? "" : `; ${remark}`}`;
}
