#!/usr/bin/env node
// npm run bench: CPU time per request of each peer under the same load, in one run, interleaved. Needs `npm run build`.
// BENCH_ROUNDS (default 6), BENCH_REQUESTS a round and peer (default 6000), BENCH_WARMUP seconds (default 15), BENCH_ONLY=a,b
import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { load, quantile } from "./load.mjs";
import { openPeers } from "./peers.mjs";
import { cpuMicros, endAll, residentMiB } from "./process.mjs";
import { rows, verdicts } from "./report.mjs";

const rounds = Number(process.env.BENCH_ROUNDS ?? 6);
const requests = Number(process.env.BENCH_REQUESTS ?? 6000);
const warmupSeconds = Number(process.env.BENCH_WARMUP ?? 15);
const connections = 32;

const body = JSON.stringify({ amount: 1250, currency: "EUR", reference: "x".repeat(190) });
const post = (path, key) =>
  `POST ${path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer abc\r\n` +
  `${key === undefined ? "" : `Idempotency-Key: ${key}\r\n`}Content-Length: ${body.length}\r\n\r\n${body}`;

const run = randomUUID();
let serial = 0;
const kinds = {
  plain: { message: () => post("/payments"), isRight: (status) => status === 201 },
  first: {
    message: () => post("/payments", `${run}-${serial++}`),
    isRight: (status, head) => status === 201 && !/idempotent-replayed/i.test(head),
  },
  // A thousand keys, all completed before: each request is a retry of one of them.
  replay: {
    message: (index) => post("/payments", `${run}-replay-${index % 1000}`),
    isRight: (status, head) => status === 201 && /idempotent-replayed: true/i.test(head),
    prepare: (index) => post("/payments", `${run}-replay-${index}`),
  },
};

try {
  const peers = await openPeers((process.env.BENCH_ONLY ?? "").split(",").filter(Boolean));
  for (const peer of peers) await warmUp(peer);
  const measured = new Map(peers.map((peer) => [peer.name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const peer of peers) measured.get(peer.name).push(await measure(peer));
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
  }
  const result = {
    at: new Date().toISOString(),
    machine: { cpu: cpus()[0].model, cores: cpus().length, node: process.version },
    plan: { rounds, requests, connections, warmupSeconds },
    peers: rows(peers, measured),
  };
  const judged = verdicts(result.peers);
  console.log(judged.text);
  mkdirSync(new URL("results/", import.meta.url), { recursive: true });
  writeFileSync(
    new URL("results/latest.json", import.meta.url),
    `${JSON.stringify({ ...result, verdicts: judged.list }, null, 2)}\n`,
  );
  process.exitCode = result.peers.some(({ wrong }) => wrong > 0) ? 1 : 0;
} finally {
  await endAll();
}

async function warmUp(peer) {
  const kind = kinds[peer.kind];
  if (kind.prepare) {
    await load({
      port: peer.port,
      connections,
      requests: 1000,
      seconds: 30,
      message: kind.prepare,
      isRight: () => true,
    });
  }
  const plan = { port: peer.port, connections, requests: 1e9, seconds: warmupSeconds, ...kind };
  await load(plan);
}

async function measure(peer) {
  const before = cpuMicros(peer.pid);
  const loaded = await load({ port: peer.port, connections, requests, seconds: 60, ...kinds[peer.kind] });
  return {
    cpuMicros: (cpuMicros(peer.pid) - before) / loaded.done,
    throughput: loaded.done / loaded.seconds,
    p50Ms: quantile(loaded.latenciesMs, 0.5),
    p99Ms: quantile(loaded.latenciesMs, 0.99),
    residentMiB: residentMiB(peer.pid),
    wrong: loaded.wrong,
  };
}
