// What PRODUCT.md §6 promises, and whether a run kept it.
const ratios = [
  { row: "first, redis", to: "http-proxy", atMost: 0.65 },
  { row: "first, redis", to: "nginx+lua+redis, first", atMost: 1.2 },
  { row: "first, embedded", to: "http-proxy", atMost: 0.55 },
  { row: "replay, redis", to: "http-proxy", atMost: 0.25 },
  { row: "replay, redis", to: "nginx+lua+redis, replay", atMost: 1.0 },
  { row: "replay, redis, cold", to: "http-proxy", atMost: 0.25 },
  { row: "replay, redis, cold", to: "nginx+lua+redis, replay", atMost: 1.0 },
  { row: "replay, embedded", to: "http-proxy", atMost: 0.25 },
  { row: "unprotected", to: "http-proxy", atMost: 1.05 },
];

const round = (value) => Math.round(value * 1000) / 1000;

/**
 * @param {{ table: object[], roundTrips?: object, herd?: object, keys?: object }} run what was measured; what is missing is
 *   not judged
 * @returns {{ goal: string, value: number, atMost: number, isMet: boolean, remark?: string }[]}
 */
export function verdicts({ table, roundTrips, herd, keys }) {
  return [...ratiosOf(table), ...roundTripsOf(roundTrips), ...herdOf(herd), ...memoryOf(keys)];
}

function judged(goal, value, atMost, remark) {
  return { goal, value: round(value), atMost, isMet: value <= atMost, ...(remark === undefined ? {} : { remark }) };
}

function ratiosOf(table) {
  const cpuOf = (name) => table.find((row) => row.name === name)?.cpuMicros;
  return ratios.flatMap(({ row, to, atMost }) => {
    const [own, peer] = [cpuOf(row), cpuOf(to)];
    return own === undefined || peer === undefined ? [] : [judged(`CPU of ${row} × ${to}`, own / peer, atMost)];
  });
}

function roundTripsOf(counted) {
  if (counted === undefined) return [];
  return [
    judged("round trips to Redis, first time", counted.first, 2),
    judged("round trips to Redis, replay", counted.replay, 1),
    judged("round trips to Redis, replay that the process knows", counted.knownReplay, 0),
    judged("round trips to Redis, waiter in the same process", counted.waiter, 0),
  ];
}

function herdOf(herd) {
  if (herd === undefined) return [];
  return [
    judged("dispatches for 1,000 duplicates on 3 processes", herd.dispatches, 1),
    judged(
      "ms from the first of them answered to the last",
      herd.spreadMs,
      50,
      `median of ${herd.rounds} rounds, ${herd.leastMs} to ${herd.mostMs}`,
    ),
    // Fewer would prove nothing; one of them is the owner.
    ...(herd.waiters < 9_990
      ? []
      : [judged("MiB for 10,000 waiters in a process", herd.waitersMiB, 200, `${herd.waiters} waited`)]),
  ];
}

/** Flat: what a process holds grows by less than this for each further key; a pointer and its entry would be ten times it. */
const flatBytes = 8;

/** From `bench:scale keys`: between the size at which everything is warm and the largest. */
function memoryOf(keys) {
  return (keys ?? []).flatMap(({ store, points }) => {
    const [from, to] = [points.find((point) => point.keys >= 100_000), points.at(-1)];
    if (from === undefined || to.keys <= from.keys) return [];
    const bytes = ((to.ownMiB - from.ownMiB) * 2 ** 20) / (to.keys - from.keys);
    const remark = `${from.ownMiB.toFixed(0)} MiB at ${thousands(from.keys)} keys, ${to.ownMiB.toFixed(0)} at ${thousands(to.keys)}`;
    return [judged(`bytes of process memory for each further key, ${store}`, Math.max(0, bytes), flatBytes, remark)];
  });
}

export const thousands = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
