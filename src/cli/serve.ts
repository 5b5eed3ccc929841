import { parseArgs } from "node:util";
import type { Logger } from "pino";
import { start } from "../cluster/start.js";
import { briefed, type Given, isWorker, leaveCrew, onOrder } from "../cluster/worker.js";
import type { Config } from "../config/config.js";
import type { Contents } from "../config/files.js";
import { formatMistake } from "../config/findings.js";
import { type Built, defaultConfig, type Loaded, loadConfig } from "../config/load.js";
import { type Overrides, parseOverrides } from "../config/overrides.js";
import { reloaded } from "../config/restart.js";
import type { Gateway } from "../gateway.js";
import { openLog } from "../observe/log.js";
import type { Io } from "./io.js";
import { Reloader } from "./reload.js";
import { keepRequestsYoung, mendStrings } from "./v8.js";

const usage = `usage: idempotency-gateway serve [--config FILE] [--upstream URL] [--port N] [--admin-port N]

Runs the gateway. With --upstream and no file, POST and PATCH on every path are protected where a request carries an
Idempotency-Key, and records are kept in ./data. With both, --upstream stands for routes that name no upstream.

SIGTERM and SIGINT drain; SIGHUP, or a change of the file, reloads routes.
`;

/** Runs until it is told to stop. The number is the exit code. */
export async function serve(args: readonly string[], io: Io): Promise<number> {
  const parsed = parseServeArgs(args);
  if (parsed.kind === "help") {
    io.stdout.write(usage);
    return 0;
  }
  if (parsed.kind === "bad") {
    io.stderr.write(`serve: ${parsed.message}\n\n${usage}`);
    return 2;
  }
  keepRequestsYoung();
  mendStrings();
  const { file, overrides } = parsed;
  const load = (contents?: Contents) => loadConfig(file ?? "", io.env, { cwd: io.cwd, overrides, contents });
  const given = isWorker() ? await briefed() : undefined;
  const loaded = file === undefined ? undefined : load(given?.atStart);
  const read = configOf(loaded ?? defaultConfig(parsed.overrides as Required<Overrides>, io.cwd), io);
  if (read === undefined) return 1;
  const config = inForce(read, load, given);
  const log = await openLog(config.logging);
  let gateway: Gateway;
  try {
    gateway = await start(config, loaded?.contents, log);
  } catch (error) {
    io.stderr.write(`idempotency-gateway: ${(error as Error).message}\n`);
    return 1;
  }
  endOnFault(log);
  announce(log, gateway, config);
  const reloader = loaded && new Reloader(load, loaded, config, gateway, log, !isWorker());
  const signal = await toldToStop((contents) => reloader?.reload(contents));
  reloader?.stop();
  log.info({ by: signal }, "draining: no new connection is taken, what runs is finished and stored");
  await gateway.drain();
  log.info("stopped");
  leaveCrew();
  return 0;
}

/** A worker that replaces another one has the routes that are in force by now, and all else as it was at the start. */
function inForce(atStart: Config, load: (contents: Contents) => Loaded, given: Given | undefined): Config {
  const loaded = given?.reloaded && load(given.reloaded);
  return loaded?.kind === "ok" ? reloaded(atStart, loaded.config) : atStart;
}

/** Mistakes are told, and there is no configuration then. */
function configOf(loaded: Loaded | Built, io: Io): Config | undefined {
  if (loaded.kind === "ok") {
    for (const warning of "warnings" in loaded ? loaded.warnings : []) {
      io.stderr.write(`warning: ${formatMistake(warning)}\n`);
    }
    return loaded.config;
  }
  const lines = "mistakes" in loaded ? loaded.mistakes.map(formatMistake) : [`idempotency-gateway: ${loaded.message}`];
  for (const line of lines) io.stderr.write(`${line}\n`);
  return undefined;
}

function announce(log: Logger, gateway: Gateway, config: Config): void {
  const isProtected = config.routes.filter((route) => route.policy !== null);
  log.info(
    {
      traffic: `${config.server.host}:${gateway.port}`,
      admin: gateway.adminPort === null ? undefined : `${config.admin.host}:${gateway.adminPort}`,
      store: config.store.type,
      routes: config.routes.length,
      protected: isProtected.length,
    },
    "listening",
  );
  for (const route of isProtected) {
    if (route.policy?.inDoubt !== "retry" && route.policy?.storeUnavailable !== "bypass") continue;
    log.warn({ route: route.name }, "this route may run a request twice: inDoubt: retry or storeUnavailable: bypass");
  }
}

/** What nobody expected may have left anything half done: the process ends, and what it ran is in doubt. */
function endOnFault(log: Logger): void {
  process.on("uncaughtException", (error) => {
    log.fatal({ error: error.stack }, "a fault inside: the process ends");
    log.flush(() => process.exit(70));
    setTimeout(() => process.exit(70), 1_000);
  });
}

/** Resolves with the first signal to stop; a second one ends the process at once. A worker hears its primary alone. */
function toldToStop(onReload: (contents?: Contents) => void): Promise<string> {
  return new Promise((resolve) => {
    let isTold = false;
    const stop = (signal: string) => {
      if (isTold && !isWorker()) process.exit(1);
      isTold = true;
      resolve(signal);
    };
    if (isWorker()) onOrder({ drain: () => stop("the primary"), reload: onReload });
    // A terminal sends its signal to every process of the group.
    process.on("SIGTERM", isWorker() ? () => {} : stop);
    process.on("SIGINT", isWorker() ? () => {} : stop);
    process.on("SIGHUP", isWorker() ? () => {} : () => onReload());
  });
}

type ServeArgs =
  | { readonly kind: "serve"; readonly file: string | undefined; readonly overrides: Overrides }
  | { readonly kind: "help" }
  | { readonly kind: "bad"; readonly message: string };

function parseServeArgs(args: readonly string[]): ServeArgs {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        config: { type: "string", short: "c" },
        upstream: { type: "string" },
        port: { type: "string" },
        "admin-port": { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true) return { kind: "help" };
    if (values.config === undefined && values.upstream === undefined) {
      return { kind: "bad", message: "say what to run: --config FILE, or --upstream URL" };
    }
    const parsed = parseOverrides(values);
    if (parsed.kind === "bad") return parsed;
    return { kind: "serve", file: values.config, overrides: parsed.overrides };
  } catch (error) {
    return { kind: "bad", message: (error as Error).message };
  }
}
