// More and more routes in the file, every one of them in use.
import { thousands } from "../goals.mjs";
import { measure, summary, warmUp } from "../measure.mjs";
import { end } from "../process.mjs";
import { onRedis, openGateway, openRedis, openUpstream } from "../stage.mjs";
import { first } from "../traffic.mjs";

const counts = [10, 200, 2000];

export async function run({ turns, requests, warmupSeconds, say }) {
  const [upstream, redis] = [await openUpstream(), await openRedis()];
  const points = [];
  for (const count of counts) {
    const begunMs = performance.now();
    const gateway = await openGateway({ store: onRedis(redis), routes: routesOf(count, upstream.port) });
    const startMs = performance.now() - begunMs;
    const traffic = first({ pathOf: (index) => pathOf(index % count, index) });
    const peer = { ...gateway, traffic };
    await warmUp(peer, warmupSeconds);
    const all = [];
    for (let turn = 0; turn < turns; turn++) all.push(await measure(peer, Math.max(requests, count)));
    points.push({ count, startMs, ...summary(all) });
    say(`${count} routes`);
    await end(gateway.child);
  }
  return { points };
}

/** Half of them plain, half with a parameter, as they are in life. */
const pathOf = (route, request) => (route % 2 === 0 ? `/v1/thing-${route}` : `/v1/thing-${route}/${request}/parts`);

function routesOf(count, upstreamPort) {
  const one = (route) => `  - name: thing-${route}
    match: { path: "${pathOf(route, ":id")}" }
    upstream: { url: "http://127.0.0.1:${upstreamPort}" }
    idempotency: {}
`;
  return Array.from({ length: count }, (_, route) => one(route)).join("");
}

export function tables({ points }) {
  const lines = points.map(({ count, cpuMicros, throughput, p99Ms, residentMiB, startMs, wrong }) => [
    thousands(count),
    cpuMicros.toFixed(0),
    throughput.toFixed(0),
    p99Ms.toFixed(1),
    residentMiB.toFixed(0),
    startMs.toFixed(0),
    String(wrong),
  ]);
  const head = ["routes", "CPU µs/request", "requests/s", "p99 ms", "MiB", "start ms", "wrong"];
  return [{ title: "Routes, first requests on Redis", lines: [head, ...lines] }];
}
