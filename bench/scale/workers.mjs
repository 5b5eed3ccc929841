// More worker processes of one gateway.
import { cpus } from "node:os";
import { measure, summary, warmUp } from "../measure.mjs";
import { end } from "../process.mjs";
import { newFolder, onDisk, onRedis, openGateway, openRedis, openUpstream, protectedRoute } from "../stage.mjs";
import { first, replay } from "../traffic.mjs";

export async function run({ turns, requests, warmupSeconds, say }) {
  const [upstream, redis] = [await openUpstream(), await openRedis()];
  const points = [];
  for (const workers of [...new Set([1, 2, cpus().length])].sort((a, b) => a - b)) {
    for (const [store, setting] of [
      ["redis", onRedis(redis)],
      ["embedded", onDisk(newFolder())],
    ]) {
      const gateway = await openGateway({
        store: setting,
        routes: protectedRoute(upstream.port),
        server: `workers: ${workers}`,
      });
      const point = { workers, store };
      for (const [kind, traffic] of [
        ["first", first()],
        ["replay", replay({ port: gateway.port, isHot: true })],
      ]) {
        const peer = { ...gateway, traffic };
        await warmUp(peer, warmupSeconds);
        const all = [];
        for (let turn = 0; turn < turns; turn++) all.push(await measure(peer, requests));
        point[kind] = summary(all);
      }
      points.push(point);
      say(`${workers} workers, ${store}`);
      await end(gateway.child);
    }
  }
  return { points };
}

export function tables({ points }) {
  const cell = ({ cpuMicros, throughput }) => [cpuMicros.toFixed(0), throughput.toFixed(0)];
  const lines = points.map(({ workers, store, first, replay }) => [
    store,
    String(workers),
    ...cell(first),
    ...cell(replay),
    replay.residentMiB.toFixed(0),
    String(first.wrong + replay.wrong),
  ]);
  const head = [
    "store",
    "workers",
    "first: CPU µs",
    "requests/s",
    "replay: CPU µs",
    "requests/s",
    "MiB of all",
    "wrong",
  ];
  return [{ title: "Workers", lines: [head, ...lines] }];
}
