// Child processes of a benchmark, and what the kernel says they used.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";

/** CPU time of a process and its children so far, user and system, microseconds: the kernel's own account of every thread. */
export function cpuMicros(pid) {
  let nanos = 0n;
  for (const one of [pid, ...childrenOf(pid)]) {
    for (const task of readdirSync(`/proc/${one}/task`)) {
      try {
        nanos += BigInt(readFileSync(`/proc/${one}/task/${task}/schedstat`, "utf8").split(" ")[0]);
      } catch {
        // The thread has ended.
      }
    }
  }
  return Number(nanos / 1000n);
}

/**
 * User and system time of a process and its children so far, in the kernel's clock ticks: too coarse for a request, good
 * enough for how a run's time is shared out.
 */
export function cpuTicks(pid) {
  const sum = { user: 0, system: 0 };
  for (const one of [pid, ...childrenOf(pid)]) {
    const stat = readFileSync(`/proc/${one}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    sum.user += Number(fields[11]);
    sum.system += Number(fields[12]);
  }
  return sum;
}

/** Resident memory of a process and its children, MiB. */
export function residentMiB(pid) {
  return statusMiB(pid, "VmRSS");
}

/** The part of it that is the process's own: without files it has mapped, which the kernel may drop at any time. */
export function ownMiB(pid) {
  return statusMiB(pid, "RssAnon");
}

function statusMiB(pid, field) {
  let kib = 0;
  for (const one of [pid, ...childrenOf(pid)]) {
    kib += Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${one}/status`, "utf8"))?.[1] ?? 0);
  }
  return kib / 1024;
}

function childrenOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** A port that is free now. */
export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Starts a program and waits until its port takes connections. Everything started is ended by `endAll`. */
export async function start(command, args, { port, env = {}, seconds = 20 }) {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => output.push(text));
  if (started.size === 0) endWithUs();
  started.add(child);
  child.on("exit", () => started.delete(child));
  const endsAt = Date.now() + seconds * 1000;
  while (!(await isOpen(port))) {
    if (child.exitCode !== null || Date.now() > endsAt) {
      throw new Error(`${command} ${args.join(" ")} did not start:\n${Buffer.concat(output)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return child;
}

const started = new Set();

/** Whoever is told to stop in the middle takes along what it has started. */
function endWithUs() {
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ]) {
    if (process.listenerCount(signal) > 0) continue;
    process.once(signal, () => endAll().finally(() => process.exit(code)));
  }
}

export async function endAll() {
  await Promise.all([...started].map(end));
}

export function end(child) {
  const gone = new Promise((resolve) => child.on("exit", resolve));
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  return gone.finally(() => clearTimeout(timer));
}

async function isOpen(port) {
  const { connect } = await import("node:net");
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
