/** What no single setting can tell: rules between settings. Nothing here changes a value. */
import { formatDuration, formatSize } from "./duration.js";
import type { Findings } from "./findings.js";
import { isLoopback } from "./loopback.js";
import { checkOwnAddress } from "./own-address.js";
import { writtenAt } from "./routes.js";
import type { RouteSettings, Settings } from "./schema.js";
import { validateRoutes } from "./validate-route.js";

export function validate(settings: Settings, routes: readonly RouteSettings[], findings: Findings): void {
  checkToken(settings, findings);
  checkPorts(settings, findings);
  checkLimits(settings, findings);
  checkStore(settings, findings);
  validateRoutes(routes, findings);
  checkOwnAddress(settings, routes, findings);
  if (settings.store.type === "redis") checkLeases(settings.store.commandTimeout, routes, findings);
}

function checkToken({ admin }: Settings, findings: Findings): void {
  if (admin.token !== "" || isLoopback(admin.host) || !findings.isSound("admin.host", "admin.token")) return;
  const at = findings.placeOf(findings.isWritten("admin.token") ? "admin.token" : "admin.host");
  findings.mistake("admin.token", `is required, because admin.host ${admin.host} can be reached from other hosts`, at);
}

function checkPorts({ server, admin }: Settings, findings: Findings): void {
  if (!findings.isSound("server.port", "admin.port", "server.host", "admin.host")) return;
  const everyAddress = ["0.0.0.0", "::"];
  const meet = server.host === admin.host || [server.host, admin.host].some((host) => everyAddress.includes(host));
  if (server.port === 0 || server.port !== admin.port || !meet) return;
  if (findings.isWritten("admin.port")) findings.mistake("admin.port", `is the same as server.port (${server.port})`);
  else findings.mistake("server.port", `is the same as admin.port (${admin.port})`);
}

function checkLimits({ server: { limits } }: Settings, findings: Findings): void {
  const { headersTimeout, requestTimeout, requestBody, bufferedBodies } = limits;
  // The default gives way: whoever lowers requestTimeout alone has said enough (see compile.ts).
  if (findings.isWritten("server.limits.headersTimeout") && headersTimeout > requestTimeout) {
    findings.mistake(
      "server.limits.headersTimeout",
      `is longer than requestTimeout (${formatDuration(requestTimeout)})`,
    );
  }
  if (bufferedBodies < requestBody) {
    const least = `is less than one requestBody (${formatSize(requestBody)}): the largest requests can never be taken`;
    findings.warning("server.limits.bufferedBodies", least);
  }
}

function checkStore({ store }: Settings, findings: Findings): void {
  if (store.type !== "redis") return;
  if (store.sentinel && store.cluster) findings.mistake("store.cluster", "cannot be used together with sentinel");
  if (store.cluster && findings.isSound("store.url")) {
    const database = new URL(store.url).pathname.slice(1);
    if (Number(database) !== 0) findings.mistake("store.url", `names database ${database}; a cluster has only 0`);
  }
  const { length } = store.locks.nodes;
  if (length > 0 && length % 2 === 0 && findings.isSound("store.locks.nodes")) {
    findings.mistake(
      "store.locks.nodes",
      `needs an odd number of nodes: ${length} fail as soon as ${length - 1} would`,
    );
  }
}

/** A claim whose answer comes later than its lease lasts is in doubt before it begins. */
function checkLeases(commandTimeout: number, routes: readonly RouteSettings[], findings: Findings): void {
  for (const [index, { idempotency }] of routes.entries()) {
    if (idempotency === undefined || idempotency.lease > commandTimeout) continue;
    const message = `is not longer than store.commandTimeout (${formatDuration(commandTimeout)})`;
    findings.warning(writtenAt(findings, index, "idempotency.lease"), message);
  }
}
