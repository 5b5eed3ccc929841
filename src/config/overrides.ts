import type { Settings } from "./schema.js";
import { upstreamOrigin } from "./url-form.js";

/**
 * What the command line says: it wins over the file. `upstream` stands for `defaults.upstream.url`, so a route with a
 * URL of its own keeps it.
 */
export interface Overrides {
  readonly upstream?: string;
  readonly port?: number;
  readonly adminPort?: number;
}

/** The values of `--upstream`, `--port` and `--admin-port` as they were typed. A bad one is a wrong command line. */
export interface Flags {
  readonly upstream?: string | undefined;
  readonly port?: string | undefined;
  readonly "admin-port"?: string | undefined;
}

export type ParsedOverrides =
  | { readonly kind: "ok"; readonly overrides: Overrides }
  | { readonly kind: "bad"; readonly message: string };

export function parseOverrides(flags: Flags): ParsedOverrides {
  const problem = flags.upstream === undefined ? undefined : upstreamOrigin.problem(flags.upstream);
  if (problem !== undefined) return { kind: "bad", message: `--upstream: ${problem}` };
  for (const name of ["port", "admin-port"] as const) {
    const message = flags[name] === undefined ? undefined : portProblem(flags[name]);
    if (message !== undefined) return { kind: "bad", message: `--${name}: ${message}` };
  }
  if (flags.port !== undefined && flags.port !== "0" && flags.port === flags["admin-port"]) {
    return { kind: "bad", message: "--admin-port: is the same as --port" };
  }
  return {
    kind: "ok",
    overrides: {
      ...(flags.upstream === undefined ? {} : { upstream: flags.upstream }),
      ...(flags.port === undefined ? {} : { port: Number(flags.port) }),
      ...(flags["admin-port"] === undefined ? {} : { adminPort: Number(flags["admin-port"]) }),
    },
  };
}

function portProblem(typed: string): string | undefined {
  if (/^\d+$/.test(typed) && Number(typed) <= 65535) return undefined;
  return `expected a whole number from 0 to 65535, got ${JSON.stringify(typed)}`;
}

export function override(settings: Settings, { upstream, port, adminPort }: Overrides): Settings {
  const { server, admin, defaults } = settings;
  return {
    ...settings,
    server: { ...server, port: port ?? server.port },
    admin: { ...admin, port: adminPort ?? admin.port },
    defaults: { ...defaults, upstream: { ...defaults.upstream, ...(upstream === undefined ? {} : { url: upstream }) } },
  };
}
