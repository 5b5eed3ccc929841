import { parseArgs } from "node:util";
import { formatMistake } from "../config/findings.js";
import { loadConfig } from "../config/load.js";
import type { Route, Upstream } from "../model.js";
import { connectorFor } from "../proxy/upstream-connect.js";
import { examineStore } from "../store/examine.js";
import type { Finding } from "../store/finding.js";
import type { Io } from "./io.js";

const usage = `usage: idempotency-gateway doctor --config FILE [--json]

Connects to the store and to each upstream, and says what is unsafe. Exits with 1 if anything is.
`;

/** The number is the exit code. */
export async function doctor(args: readonly string[], io: Io): Promise<number> {
  const parsed = parseDoctorArgs(args);
  if (parsed.kind === "help") {
    io.stdout.write(usage);
    return 0;
  }
  if (parsed.kind === "bad") {
    io.stderr.write(`doctor: ${parsed.message}\n\n${usage}`);
    return 2;
  }
  const loaded = loadConfig(parsed.file, io.env, { cwd: io.cwd });
  if (loaded.kind !== "ok") {
    const lines = loaded.kind === "bad" ? loaded.mistakes.map(formatMistake) : [`doctor: ${loaded.message}`];
    for (const line of lines) io.stderr.write(`${line}\n`);
    return 1;
  }
  const { store, routes } = loaded.config;
  const findings = [...(await examineStore(store)), ...(await examineUpstreams(routes)), ...examineRoutes(routes)];
  io.stdout.write(parsed.isJson ? `${JSON.stringify({ findings }, null, 2)}\n` : tableOf(findings));
  return findings.some(({ state }) => state === "unsafe") ? 1 : 0;
}

/** Each address once, as the first route that names it would reach it, with the shortest patience of those that do. */
async function examineUpstreams(routes: readonly Route[]): Promise<Finding[]> {
  const known = new Map<string, Upstream>();
  for (const { upstream } of routes) {
    const name = JSON.stringify([upstream.origin, upstream.tls]);
    const connectTimeoutMs = Math.min(known.get(name)?.connectTimeoutMs ?? Infinity, upstream.connectTimeoutMs);
    known.set(name, { ...upstream, connectTimeoutMs });
  }
  return Promise.all([...known.values()].map(examineUpstream));
}

function examineUpstream(upstream: Upstream): Promise<Finding> {
  const check = `upstream ${upstream.origin}`;
  const begunMs = performance.now();
  return new Promise((resolve) => {
    connectorFor(upstream)((error, socket) => {
      if (socket !== null) {
        const ms = (performance.now() - begunMs).toFixed(1);
        socket.on("error", () => {}).destroy();
        return resolve({ check, state: "ok", detail: `connected in ${ms} ms` });
      }
      const { code = "", message = "no connection" } = (error ?? {}) as NodeJS.ErrnoException;
      const isLate = code === "UND_ERR_CONNECT_TIMEOUT";
      const detail = isLate ? `no connection within ${upstream.connectTimeoutMs} ms` : code || message;
      resolve({ check, state: "unsafe", detail });
    });
  });
}

/** What the configuration itself gives away of the promise. */
function examineRoutes(routes: readonly Route[]): Finding[] {
  const findings: Finding[] = [];
  for (const { name, policy } of routes) {
    if (policy === null) continue;
    const say = (detail: string) => findings.push({ check: `route ${name}`, state: "warning", detail });
    if (policy.inDoubt === "retry") say("inDoubt: retry may run a request twice");
    if (policy.storeUnavailable === "bypass")
      say("storeUnavailable: bypass runs requests unprotected without the store");
    if (policy.mode === "observe") say("mode: observe protects nothing");
    if (policy.scope.length === 0) say("no scope: clients who choose the same key get each other's responses");
  }
  return findings;
}

function tableOf(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length)) + 2;
  return findings.map(({ check, state, detail }) => `${state.padEnd(9)}${check.padEnd(width)}${detail}\n`).join("");
}

type DoctorArgs =
  | { readonly kind: "file"; readonly file: string; readonly isJson: boolean }
  | { readonly kind: "help" }
  | { readonly kind: "bad"; readonly message: string };

function parseDoctorArgs(args: readonly string[]): DoctorArgs {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        config: { type: "string", short: "c" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true) return { kind: "help" };
    if (values.config === undefined) return { kind: "bad", message: "--config FILE is required" };
    return { kind: "file", file: values.config, isJson: values.json === true };
  } catch (error) {
    return { kind: "bad", message: (error as Error).message };
  }
}
