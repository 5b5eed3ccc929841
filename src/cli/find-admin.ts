import { formatMistake } from "../config/findings.js";
import { loadConfig } from "../config/load.js";
import { type AdminAddress, AdminError } from "./admin-client.js";

const defaultUrl = "http://127.0.0.1:9090";

interface Where {
  readonly admin?: string | undefined;
  readonly config?: string | undefined;
  readonly token?: string | undefined;
}

/**
 * Where the admin port is, and its token: what the command line says, then the environment, then the configuration file.
 * Throws an `AdminError` whose message is fit to print.
 */
export async function findAdmin(
  where: Where,
  { env, cwd }: { readonly env: Readonly<Record<string, string | undefined>>; readonly cwd: string },
): Promise<AdminAddress> {
  const token = where.token ?? (env.ADMIN_TOKEN || null);
  if (where.config === undefined) return { url: where.admin ?? defaultUrl, token };
  const loaded = loadConfig(where.config, env, { cwd });
  if (loaded.kind === "unreadable") throw new AdminError(loaded.message);
  if (loaded.kind === "bad")
    throw new AdminError(`the configuration is wrong:\n${loaded.mistakes.map(formatMistake).join("\n")}`);
  const { admin } = loaded.config;
  return { url: where.admin ?? `http://${reachable(admin.host)}:${admin.port}`, token: token ?? admin.token };
}

/** An address to listen on everywhere is none to connect to. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}
