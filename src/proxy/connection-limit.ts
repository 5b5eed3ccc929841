import { readFileSync } from "node:fs";
import type { Config } from "../config/config.js";

/** For the store, the admin port, logs and files. */
const reservedFiles = 128;
/** Of the descriptors at most so much is kept back, however many connections to upstreams there may be. */
const largestShareKept = 0.5;

/** Connections that clients may have in this process: what is configured, or what the limit of file descriptors leaves. */
export function connectionLimit(
  { server, routes }: Pick<Config, "server" | "routes">,
  files = openFilesLimit(),
): number {
  const upstreams = new Map(routes.map(({ upstream }) => [upstream.origin, 2 * upstream.connections]));
  const wanted = [...upstreams.values()].reduce((sum, connections) => sum + connections, reservedFiles);
  const kept = Math.min(wanted, Math.ceil(files * largestShareKept));
  return Math.max(1, Math.min(server.limits.connections, files - kept));
}

/** Of this process. Elsewhere than on Linux it cannot be asked for without starting another process. */
function openFilesLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
