// More and more keys in the store. BENCH_FULL=1 goes on to ten million.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { thousands } from "../goals.mjs";
import { load } from "../load.mjs";
import { cpuMicros, end, ownMiB, residentMiB } from "../process.mjs";
import { ask } from "../redis-wire.mjs";
import { newFolder, onDisk, onRedis, openGateway, openRedis, openUpstream, protectedRoute } from "../stage.mjs";
import { first } from "../traffic.mjs";

/** So many are sent and checked at a time. */
const slice = 20_000;

export async function run({ sizes, seconds, stores: asked, older, say }) {
  const upstream = await openUpstream();
  const redis = await openRedis(true);
  const folder = newFolder();
  const all = [
    {
      store: "embedded",
      setting: onDisk(folder),
      look: async () => ({ diskMiB: folderMiB(folder) }),
    },
    {
      store: "redis",
      setting: onRedis(redis),
      look: async () => ({
        diskMiB: folderMiB(redis.folder),
        redisMiB: usedMiB(await ask(redis.port, "INFO memory")),
        redisResidentMiB: residentMiB(redis.pid),
      }),
    },
  ];
  const results = [];
  for (const { store, setting, look } of all) {
    if (!asked.includes(store)) {
      results.push(...(older?.stores.filter((one) => one.store === store) ?? []));
      continue;
    }
    const gateway = await openGateway({ store: setting, routes: protectedRoute(upstream.port) });
    const points = [{ keys: 0, ...memoryOf(gateway), ...(await look()) }];
    for (const size of sizes) {
      const stage = await fill(gateway, size - points.at(-1).keys, seconds);
      // What was written is written down, and the garbage of the load collected, or not: nobody is asked to.
      await new Promise((resolve) => setTimeout(resolve, 3000));
      const keys = points.at(-1).keys + stage.done;
      points.push({ keys, ...stage.costs, wrong: stage.wrong, ...memoryOf(gateway), ...(await look()) });
      say(`${store}: ${thousands(keys)} keys`);
      if (keys < size) {
        say(`${store}: ${seconds} s were not enough for ${thousands(size)}`);
        break;
      }
    }
    await end(gateway.child);
    results.push({ store, at: new Date().toISOString(), points });
  }
  return { stores: results };
}

/** @returns the cost of the last slice of `count` new keys, and how many there was time for */
async function fill({ port, pid }, count, seconds) {
  const traffic = { ...first(), connections: 64 };
  const endsAtMs = performance.now() + seconds * 1000;
  let [done, wrong, costs] = [0, 0, {}];
  while (done < count && performance.now() < endsAtMs) {
    traffic.prepare();
    const before = cpuMicros(pid);
    const leftSeconds = (endsAtMs - performance.now()) / 1000;
    const one = await load({ port, requests: Math.min(slice, count - done), seconds: leftSeconds, ...traffic });
    costs = { cpuMicros: (cpuMicros(pid) - before) / one.done, throughput: one.done / one.seconds };
    done += one.done;
    wrong += one.wrong;
  }
  return { done, wrong, costs };
}

const memoryOf = ({ pid }) => ({ residentMiB: residentMiB(pid), ownMiB: ownMiB(pid) });
const usedMiB = (info) => Number(/^used_memory:(\d+)/m.exec(info)[1]) / 2 ** 20;

/** As the file system counts it, so that a hole in a file costs nothing. */
function folderMiB(folder) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true })) {
    try {
      bytes += statSync(join(folder, entry)).blocks * 512;
    } catch (error) {
      // A segment may be dropped meanwhile.
      if (error.code !== "ENOENT") throw error;
    }
  }
  return bytes / 2 ** 20;
}

export function bytesEach(points, field) {
  const [zero, last] = [points[0], points.at(-1)];
  return ((last[field] - zero[field]) * 2 ** 20) / last.keys;
}

export function tables({ stores }) {
  const whole = (value) => (value === undefined ? "" : value.toFixed(0));
  return stores.map(({ store, at, points }) => {
    const isRedis = points[0].redisMiB !== undefined;
    const [diskBytes, redisBytes] = ["diskMiB", "redisMiB"].map((field) => bytesEach(points, field));
    const head = ["keys", "CPU µs/request", "requests/s", "process MiB", "its own MiB", "disk MiB"];
    const lines = points.map((point) => [
      thousands(point.keys),
      ...[point.cpuMicros, point.throughput, point.residentMiB, point.ownMiB, point.diskMiB].map(whole),
      ...(isRedis ? [point.redisMiB, point.redisResidentMiB].map(whole) : []),
    ]);
    const each = `${diskBytes.toFixed(0)} bytes of disk${isRedis ? ` and ${redisBytes.toFixed(0)} of Redis memory` : ""} a record`;
    return {
      title: `Distinct keys, ${store}, ${at.slice(0, 10)}: ${each}`,
      lines: [isRedis ? [...head, "Redis used MiB", "Redis process MiB"] : head, ...lines],
    };
  });
}
