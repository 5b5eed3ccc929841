#!/usr/bin/env node
// node bench/herd.mjs: how soon all who wait for one request have its answer, and what they cost. Needs `npm run build`.
// HERD_ROUNDS (default 24) of HERD_CLIENTS (default 1000) duplicates over three processes on one Redis, the upstream
// takes 200 ms; then HERD_WAITERS (default 10000) in one process. Raw sockets, connected before and closed after, as
// clients that keep theirs alive: what is measured is from the first byte of the first answer to the last byte of the
// last one, the client's own share of a core included.
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { quantile } from "./load.mjs";
import { cpuMicros, endAll, freePort, residentMiB, start } from "./process.mjs";

const rounds = Number(process.env.HERD_ROUNDS ?? 24);
const clients = Number(process.env.HERD_CLIENTS ?? 1000);
const waiters = Number(process.env.HERD_WAITERS ?? 10_000);
const warmRounds = 4;
const upstreamMs = 200;
const answer = JSON.stringify({ id: 1, text: "x".repeat(200) });
const program = fileURLToPath(new URL("../dist/main.js", import.meta.url));
const redisScript = fileURLToPath(new URL("../scripts/redis.mjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "ig-herd-"));

let dispatches = 0;
let holdMs = upstreamMs;
const upstream = createServer((request, response) => {
  request.resume().on("end", () => {
    dispatches++;
    setTimeout(
      () =>
        response.writeHead(201, { "content-type": "application/json", "content-length": answer.length }).end(answer),
      holdMs,
    );
  });
});

/** Three processes of their own, as three hosts would be. */
async function openGateways(upstreamPort) {
  const redisPort = await freePort();
  const redis = execFileSync(process.execPath, [redisScript], { encoding: "utf8" }).trim();
  await start(redis, ["--port", String(redisPort), "--bind", "127.0.0.1", "--save", ""], { port: redisPort });
  const gateways = [];
  for (let index = 0; index < 3; index++) {
    const [port, adminPort] = [await freePort(), await freePort()];
    const file = join(folder, `gateway-${index}.yaml`);
    writeFileSync(
      file,
      `server: { host: 127.0.0.1, port: ${port} }
admin: { port: ${adminPort} }
store: { type: redis, url: "redis://127.0.0.1:${redisPort}", commandTimeout: 5s }
logging: { level: warn }
routes:
  - name: payments
    match: { path: /payments }
    upstream: { url: "http://127.0.0.1:${upstreamPort}", timeout: 120s }
    idempotency: { maxWaiters: 20000, waitTimeout: 120s }
`,
    );
    const child = await start(process.execPath, [program, "serve", "--config", file], { port });
    gateways.push({ port, adminPort, pid: child.pid });
  }
  return gateways;
}

/** A connection that is there before the clock runs. */
function open(port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => resolve(socket));
    socket.on("error", reject);
  });
}

/** Sends on each socket, and resolves with when its answer came: `firstMs` its first byte, `lastMs` its last. */
function ask(socket, key) {
  return new Promise((resolve, reject) => {
    let [text, firstMs] = ["", 0];
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("closed without an answer")));
    socket.on("data", (chunk) => {
      firstMs ||= performance.now();
      text += chunk.latin1Slice();
      const length = /\r\ncontent-length: (\d+)\r\n/i.exec(text)?.[1];
      const headEnd = text.indexOf("\r\n\r\n");
      if (headEnd < 0 || length === undefined || text.length < headEnd + 4 + Number(length)) return;
      const lastMs = performance.now();
      socket.removeAllListeners("close");
      resolve({
        firstMs,
        lastMs,
        isRight: text.startsWith("HTTP/1.1 201") && text.endsWith(answer),
        isOwn: !/idempotent-replayed/i.test(text),
      });
    });
    socket.write(`POST /payments HTTP/1.1\r\nHost: bench\r\nIdempotency-Key: ${key}\r\nContent-Length: 2\r\n\r\n{}`);
  });
}

async function herd(gateways) {
  const sockets = await Promise.all(Array.from({ length: clients }, (_, at) => open(gateways[at % 3].port)));
  const before = { dispatches, cpu: gateways.map(({ pid }) => cpuMicros(pid)) };
  const key = randomUUID();
  const beganMs = performance.now();
  const replies = await Promise.all(sockets.map((socket) => ask(socket, key)));
  for (const socket of sockets) socket.destroy();
  const cpu = gateways.reduce((sum, { pid }, at) => sum + cpuMicros(pid) - before.cpu[at], 0);
  const firstMs = Math.min(...replies.map((reply) => reply.firstMs));
  return {
    spreadMs: Math.max(...replies.map((reply) => reply.lastMs)) - firstMs,
    firstMs: firstMs - beganMs,
    cpuMsPerClient: cpu / 1000 / clients,
    dispatches: dispatches - before.dispatches,
    own: replies.filter(({ isOwn }) => isOwn).length,
    wrong: replies.filter(({ isRight }) => !isRight).length,
  };
}

async function waitersOf({ adminPort }) {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const samples = [...text.matchAll(/^idempotency_gateway_waiters(?:\{[^}]*\})? (\d+)/gm)];
  return samples.reduce((sum, [, count]) => sum + Number(count), 0);
}

async function crowd(gateway) {
  const before = residentMiB(gateway.pid);
  holdMs = 20_000;
  const key = randomUUID();
  const [replies, crowdSockets] = [[], []];
  for (let at = 0; at < waiters; at += 250) {
    const sockets = await Promise.all(Array.from({ length: Math.min(250, waiters - at) }, () => open(gateway.port)));
    crowdSockets.push(...sockets);
    replies.push(...sockets.map((socket) => ask(socket, key)));
  }
  const endsAt = Date.now() + 15_000;
  while ((await waitersOf(gateway)) < waiters - 1 && Date.now() < endsAt) await new Promise((r) => setTimeout(r, 50));
  const waiting = await waitersOf(gateway);
  const grownMiB = residentMiB(gateway.pid) - before;
  const all = await Promise.all(replies);
  for (const socket of crowdSockets) socket.destroy();
  return { waiting, grownMiB, wrong: all.filter(({ isRight }) => !isRight).length };
}

try {
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const gateways = await openGateways(upstream.address().port);
  // Code that has never run is slow: the first herds are shown beside the others and not counted among them.
  const cold = [];
  for (let warm = 0; warm < warmRounds; warm++) cold.push(await herd(gateways));
  const all = [];
  for (let round = 0; round < rounds; round++) all.push(await herd(gateways));
  const sorted = (field) => all.map((one) => one[field]).sort((a, b) => a - b);
  const show = (field, digits) =>
    `median ${quantile(sorted(field), 0.5).toFixed(digits)}, from ${sorted(field)[0].toFixed(digits)} to ${sorted(field).at(-1).toFixed(digits)}`;
  console.log(`${cpus().length} cores, load ${loadavg()[0].toFixed(1)}, node ${process.version}`);
  console.log(`${clients} duplicates over 3 processes, ${rounds} rounds, upstream ${upstreamMs} ms`);
  console.log(`  first answer to last, ms          ${show("spreadMs", 1)}`);
  console.log(`    of processes just started        ${cold.map(({ spreadMs }) => spreadMs.toFixed(1)).join(", ")}`);
  console.log(`  request to first answer, ms       ${show("firstMs", 1)}`);
  console.log(`  CPU of the gateways a client, ms  ${show("cpuMsPerClient", 3)}`);
  console.log(`  dispatches a round                ${sorted("dispatches").join(" ")}`);
  const crowded = await crowd(gateways[0]);
  console.log(`${crowded.waiting} waiters in one process: ${crowded.grownMiB.toFixed(1)} MiB more resident memory`);
  const wrong =
    [...cold, ...all].filter((one) => one.wrong > 0 || one.dispatches !== 1 || one.own !== 1).length + crowded.wrong;
  console.log(`${wrong} wrong`);
  process.exitCode = wrong === 0 ? 0 : 1;
} finally {
  await endAll();
  upstream.close();
  rmSync(folder, { recursive: true, force: true });
}
