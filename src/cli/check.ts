import { parseArgs } from "node:util";
import { formatMistake } from "../config/findings.js";
import { loadConfig } from "../config/load.js";
import { objectionToStore } from "../store/examine.js";
import type { Io } from "./io.js";

const usage = `usage: idempotency-gateway check --config FILE

Reads the configuration file without running anything. Every mistake is one line: FILE:LINE:COL path: message.
Exits with 0 when there is none, and with 1 when there are some.
`;

/** Findings are what this command is asked for, so they go to stdout. The number is the exit code. */
export function check(args: readonly string[], io: Io): number {
  const parsed = parseCheckArgs(args);
  if (parsed.kind === "help") {
    io.stdout.write(usage);
    return 0;
  }
  if (parsed.kind === "bad") {
    io.stderr.write(`check: ${parsed.message}\n\n${usage}`);
    return 2;
  }
  const { file } = parsed;
  const loaded = loadConfig(file, io.env, { cwd: io.cwd });
  if (loaded.kind === "unreadable") {
    io.stderr.write(`check: ${loaded.message}\n`);
    return 1;
  }
  if (loaded.kind === "bad") {
    for (const mistake of loaded.mistakes) io.stdout.write(`${formatMistake(mistake)}\n`);
    return 1;
  }
  const objection = objectionToStore(loaded.config.store);
  if (objection !== undefined) {
    io.stdout.write(`${file} store.path: ${objection}\n`);
    return 1;
  }
  for (const { message, ...where } of loaded.warnings) {
    io.stdout.write(`${formatMistake({ ...where, message: `warning: ${message}` })}\n`);
  }
  const { routes } = loaded.config;
  const protectedRoutes = routes.filter(({ policy }) => policy !== null);
  io.stdout.write(
    `${file}: ok, ${routes.length} ${routes.length === 1 ? "route" : "routes"} (${protectedRoutes.length} protected)\n`,
  );
  return 0;
}

type CheckArgs =
  | { readonly kind: "file"; readonly file: string }
  | { readonly kind: "help" }
  | { readonly kind: "bad"; readonly message: string };

function parseCheckArgs(args: readonly string[]): CheckArgs {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { config: { type: "string", short: "c" }, help: { type: "boolean", short: "h" } },
    });
    if (values.help) return { kind: "help" };
    if (values.config === undefined || values.config === "")
      return { kind: "bad", message: "--config FILE is missing" };
    return { kind: "file", file: values.config };
  } catch (error) {
    // Node goes on to explain itself.
    return { kind: "bad", message: String((error as Error).message.split(". ")[0]) };
  }
}
