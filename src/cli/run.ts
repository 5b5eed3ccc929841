import { programVersion } from "../observe/version.js";
import { check } from "./check.js";
import { doctor } from "./doctor.js";
import { explain } from "./explain.js";
import { healthcheck } from "./healthcheck.js";
import type { Io } from "./io.js";
import { records } from "./records.js";
import { schema } from "./schema.js";
import { serve } from "./serve.js";

type Command = (args: readonly string[], io: Io) => number | Promise<number>;

const commands: Readonly<Record<string, Command>> = {
  serve,
  check,
  explain,
  schema,
  doctor,
  records,
  healthcheck,
};

const usage = `usage: idempotency-gateway COMMAND [OPTION]…

  serve        run the gateway (the default command)
  check        find every mistake in a configuration file
  explain      show what would become of a request, without sending it
  schema       print the JSON Schema of the configuration file
  doctor       connect to the store and the upstreams, and say what is unsafe
  records      list, show, delete and resolve records through the admin port
  healthcheck  ask a running gateway whether it is ready

"idempotency-gateway COMMAND --help" says more about each. "--version" prints the version.
`;

/** Runs a command line. The number is the exit code: 0 ok, 1 configuration, 2 command line, 70 a fault inside. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const [first = "serve", ...rest] = args;
  if (first === "--version" || first === "-v" || first === "version") {
    io.stdout.write(`${programVersion()}\n`);
    return 0;
  }
  if (first === "--help" || first === "-h" || first === "help") {
    io.stdout.write(usage);
    return 0;
  }
  // `--upstream URL` alone is `serve --upstream URL`.
  const isDefault = first.startsWith("-");
  const command = isDefault ? serve : Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (command === undefined) {
    io.stderr.write(`idempotency-gateway: there is no command ${JSON.stringify(first)}\n\n${usage}`);
    return 2;
  }
  try {
    return await command(isDefault ? args : rest, io);
  } catch (error) {
    io.stderr.write(`idempotency-gateway: a fault inside: ${(error as Error).message}\n`);
    return 70;
  }
}
