// More and more clients with one key.
import { measure, summary, warmUp } from "../measure.mjs";
import { newFolder, onDisk, onRedis, openGateway, openRedis, openUpstream, protectedRoute } from "../stage.mjs";
import { first, herd } from "../traffic.mjs";

const sizes = [1, 10, 100, 1000];
const delayMs = 20;
/** The same for all but the largest, so that only the number of duplicates differs. */
const connections = 100;

export async function run({ turns, requests, warmupSeconds, say }) {
  const [upstream, redis] = [await openUpstream(), await openRedis()];
  const points = [];
  for (const [store, setting] of [
    ["redis", onRedis(redis)],
    ["embedded", onDisk(newFolder())],
  ]) {
    const gateway = await openGateway({ store: setting, routes: protectedRoute(upstream.port) });
    await warmUp({ ...gateway, traffic: first() }, warmupSeconds);
    for (const size of sizes) {
      const clients = Math.max(connections, size);
      const traffic = herd({ size, delayMs, connections: clients });
      // Connections are made anew for each turn: enough requests on each that this hardly counts.
      const many = Math.max(requests, 10 * clients);
      await warmUp({ ...gateway, traffic }, 1);
      const all = [];
      for (let turn = 0; turn < turns; turn++) all.push(await measure({ ...gateway, traffic }, many));
      points.push({ store, size, ...summary(all) });
      say(`${store}, ${size} duplicates`);
    }
  }
  return { delayMs, points };
}

export function tables({ delayMs, points }) {
  const lines = points.map(({ store, size, cpuMicros, throughput, p50Ms, p99Ms, wrong }) => [
    store,
    String(size),
    cpuMicros.toFixed(0),
    (cpuMicros * size).toFixed(0),
    throughput.toFixed(0),
    p50Ms.toFixed(1),
    p99Ms.toFixed(1),
    String(wrong),
  ]);
  const head = [
    "store",
    "requests a key",
    "CPU µs/request",
    "CPU µs/execution",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "wrong",
  ];
  return [{ title: `Duplicates at once, the upstream takes ${delayMs} ms`, lines: [head, ...lines] }];
}
