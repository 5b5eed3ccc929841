import { jsonSchema } from "../config/json-schema.js";
import type { Io } from "./io.js";

const usage = `usage: idempotency-gateway schema

Prints the JSON Schema of the configuration file, for editors.
`;

/** The number is the exit code. */
export function schema(args: readonly string[], io: Pick<Io, "stdout" | "stderr">): number {
  if (args.some((arg) => arg === "--help" || arg === "-h")) {
    io.stdout.write(usage);
    return 0;
  }
  if (args.length > 0) {
    io.stderr.write(`schema: takes no arguments, got ${args[0]}\n\n${usage}`);
    return 2;
  }
  io.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
  return 0;
}
