import type { Logger } from "pino";
import type { EventHub, Events } from "../events.js";
import { oneLine } from "../rules/one-line.js";
import { errorFields, withoutSecrets } from "./error-fields.js";

const maxPathLength = 1024;
const maxWhoLength = 128;

/** Between two lines about a store that keeps failing, ms. */
const outageSilenceMs = 10_000;

/** W3C Trace Context: anything else a client sends under this name could be a secret as well. */
const traceparentPattern = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/;

/** Writes a line for what operators want to know. What the level leaves out is not even listened to. */
export function logEvents(hub: EventHub, logger: Logger): void {
  logRequests(hub, logger);
  logTrouble(hub, logger);
  logStore(hub, logger);
  hub.on("reload", ({ result }) => {
    if (result === "success") logger.info("the configuration was reloaded");
    else logger.error("the new configuration was refused, the old one stays in force");
  });
  // Who changed a record is always written, unless nothing is.
  const always = logger.level === "silent" ? logger : logger.child({}, { level: "info" });
  hub.on("audit", ({ who, action, key, result, reason }) => {
    always.info(
      { who: oneLine(who.slice(0, maxWhoLength)), action, key: short(key), result, reason },
      "an operator's write",
    );
  });
}

function logRequests(hub: EventHub, logger: Logger): void {
  if (logger.isLevelEnabled("info")) {
    hub.on("request", (event) => {
      if (isTrouble(event)) logger.warn(requestFields(event), "request");
      else logger.info(requestFields(event), "request");
    });
  } else if (logger.isLevelEnabled("warn")) {
    hub.on("request", (event) => {
      if (isTrouble(event)) logger.warn(requestFields(event), "request");
    });
  }
}

function isTrouble({ status, result }: Events["request"]): boolean {
  return status >= 500 || result === "outcome_unknown" || result === "error";
}

/** Chosen one by one: no key, token, body or query can slip in with a new field of the event. */
function requestFields(event: Events["request"]): object {
  const { traceparent } = event;
  return {
    method: event.method,
    path: oneLine(event.path.length > maxPathLength ? `${event.path.slice(0, maxPathLength)}…` : event.path),
    route: event.route,
    result: event.result,
    status: event.status,
    duration_ms: Math.round(event.durationMs * 1000) / 1000,
    key: event.key === undefined ? undefined : short(event.key),
    code: event.code,
    instance: event.instance,
    client: event.clientAddress,
    traceparent: traceparent !== undefined && traceparentPattern.test(traceparent) ? traceparent : undefined,
    hung_up: event.hungUp,
    trace_id: event.trace?.traceId,
    span_id: event.trace?.spanId,
  };
}

function logTrouble(hub: EventHub, logger: Logger): void {
  if (logger.isLevelEnabled("warn")) {
    hub.on("inDoubt", ({ route, key, cause }) => {
      logger.warn({ route, key: short(key), cause }, "nobody can know what the upstream did: the record is in doubt");
    });
    hub.on("leaseLost", ({ route, key }) => {
      logger.warn({ route, key: short(key) }, "a lease was lost before its request had ended");
    });
  }
  const uncertain = new Set<string>();
  hub.on("scopeUncertain", ({ route }) => {
    if (uncertain.has(route)) return;
    uncertain.add(route);
    logger.warn(
      { route },
      "the scope of a request does not identify its client: set idempotency.scope (logged once a route)",
    );
  });
  hub.on("fault", ({ what, route, key, error }) => {
    const fields = { route, key: key === undefined ? undefined : short(key), error: error && errorFields(error) };
    logger.error(fields, withoutSecrets(what));
  });
}

/** Lines when the store falls silent and when it is back, not one for each command that failed. */
function logStore(hub: EventHub, logger: Logger): void {
  if (!logger.isLevelEnabled("error")) return;
  let isDown = false;
  let lastLineMs = Number.NEGATIVE_INFINITY;
  hub.on("store", ({ operation, failed }) => {
    if (failed) {
      const nowMs = performance.now();
      if (nowMs - lastLineMs < outageSilenceMs) return;
      [isDown, lastLineMs] = [true, nowMs];
      logger.error({ operation }, "the record store does not answer");
    } else if (isDown) {
      isDown = false;
      logger.info("the record store answers again");
    }
  });
}

function short(key: string): string {
  return key.slice(0, 8);
}
