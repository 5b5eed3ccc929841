// Larger and larger requests, answers and replays.
import { measure, summary, warmUp } from "../measure.mjs";
import { newFolder, onDisk, onRedis, openGateway, openRedis, openUpstream } from "../stage.mjs";
import { first, replay } from "../traffic.mjs";

const sizes = [1, 32, 256, 1024].map((kib) => kib * 1024);
/** At most this much in one turn. */
const turnBytes = 64 * 2 ** 20;

export async function run({ turns, requests, warmupSeconds, say }) {
  const [upstream, redis] = [await openUpstream(), await openRedis()];
  const points = [];
  for (const [store, setting] of [
    ["redis", onRedis(redis)],
    ["embedded", onDisk(newFolder())],
  ]) {
    const gateway = await openGateway({ store: setting, routes: roomyRoute(upstream.port), server: limits });
    await warmUp({ ...gateway, traffic: first() }, warmupSeconds);
    for (const bytes of sizes) {
      const many = Math.max(64, Math.min(requests, Math.floor(turnBytes / bytes)));
      const point = { store, bytes, wrong: 0 };
      for (const [kind, traffic] of Object.entries(trafficOf(gateway, bytes))) {
        const peer = { ...gateway, traffic: { ...traffic, connections: 8 } };
        await warmUp(peer, 1);
        const all = [];
        for (let turn = 0; turn < turns; turn++) all.push(await measure(peer, many));
        const { cpuMicros, p50Ms, wrong } = summary(all);
        point[kind] = { cpuMicros, p50Ms };
        point.wrong += wrong;
      }
      points.push(point);
      say(`${store}, ${bytes / 1024} KiB`);
    }
  }
  return { points };
}

const limits = "limits: { requestBody: 2MiB }";

const roomyRoute = (upstreamPort) => `  - name: payments
    match: { path: /payments }
    upstream: { url: "http://127.0.0.1:${upstreamPort}", connections: 64 }
    idempotency: { response: { maxStored: 2MiB } }
`;

function trafficOf({ port }, bytes) {
  const headers = `X-Answer-Bytes: ${bytes}\r\n`;
  return {
    request: first({ content: "x".repeat(bytes) }),
    answer: first({ headers }),
    // Few enough keys that the store keeps up, each of them retried all the time.
    replay: replay({ port, isHot: true, keys: 20, headers }),
  };
}

export function tables({ points }) {
  const cell = (kind) => [kind.cpuMicros.toFixed(0), kind.p50Ms.toFixed(2)];
  const lines = points.map((point) => [
    point.store,
    `${point.bytes / 1024} KiB`,
    ...[point.request, point.answer, point.replay].flatMap(cell),
    String(point.wrong),
  ]);
  const head = [
    "store",
    "body",
    "request: CPU µs",
    "p50 ms",
    "answer: CPU µs",
    "p50 ms",
    "replay: CPU µs",
    "p50 ms",
    "wrong",
  ];
  return [{ title: "Body size: of the request, of the answer, of an answer replayed", lines: [head, ...lines] }];
}
