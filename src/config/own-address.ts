/** An upstream that is the gateway itself: each request would come back, and be claimed or forwarded again. */
import { isIP } from "node:net";
import { hostname } from "node:os";
import type { Findings } from "./findings.js";
import { isLoopback } from "./loopback.js";
import { writtenAt } from "./routes.js";
import type { RouteSettings, Settings } from "./schema.js";

const everyAddress: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

export function checkOwnAddress(settings: Settings, routes: readonly RouteSettings[], findings: Findings): void {
  for (const [index, { upstream }] of routes.entries()) {
    const at = writtenAt(findings, index, "upstream.url");
    if (!findings.isSound(at, "server.host", "server.port", "admin.host", "admin.port")) continue;
    if (!URL.canParse(upstream.url)) continue;
    const { hostname: host, port, protocol } = new URL(upstream.url);
    const address = host.replace(/^\[|\]$/g, "");
    const number = port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
    for (const name of ["server", "admin"] as const) {
      const own = settings[name];
      if (own.port !== number || !isSameHost(address, own.host)) continue;
      findings.mistake(at, `is the gateway itself: it listens there (${name}.port ${own.port})`);
      break;
    }
  }
}

/** Whether something that listens on `listening` is reached under `host` from this host. */
function isSameHost(host: string, listening: string): boolean {
  const lower = host.toLowerCase().replace(/\.$/, "");
  if (lower === listening.toLowerCase()) return true;
  const isThisHost = isLoopback(lower) || everyAddress.has(lower);
  if (everyAddress.has(listening)) return isThisHost || (isIP(lower) === 0 && lower === hostname().toLowerCase());
  return isThisHost && isLoopback(listening);
}
