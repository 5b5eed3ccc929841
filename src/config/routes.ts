import { fill, merge, type OnMissing } from "./fill.js";
import type { Findings } from "./findings.js";
import type { RouteSettings, Settings } from "./schema.js";
import { cors, idempotency, upstream } from "./schema-route.js";

/** The routes as they count: each over `defaults`, over what the schema says. */
export function mergeRoutes({ defaults, routes }: Settings, findings: Findings): readonly RouteSettings[] {
  return routes.map(({ name, match, ...written }, index) => {
    const path = `routes[${index}]`;
    const tellMissing: OnMissing = (at) => {
      const inherited = `defaults${at.slice(path.length)}`;
      if (!findings.isSound(at, inherited)) return;
      findings.mistake(at, `is required${at === `${path}.upstream.url` ? ", here or in defaults.upstream" : ""}`);
    };
    const policy = written.idempotency && withoutIdleProbe(merge(defaults.idempotency, written.idempotency), written);
    return {
      name,
      match,
      upstream: fill(upstream, merge(defaults.upstream, written.upstream), `${path}.upstream`, tellMissing),
      cors: fill(cors, merge(defaults.cors, written.cors), `${path}.cors`, tellMissing),
      idempotency: policy && fill(idempotency, policy, `${path}.idempotency`, tellMissing),
    };
  });
}

/** A probe in `defaults` is there for the routes that probe; the others need not complete it. */
function withoutIdleProbe(merged: unknown, written: Pick<Settings["routes"][number], "idempotency">): object {
  const { probe, ...rest } = merged as Record<string, unknown>;
  const isIdle = rest.inDoubt !== "probe" && written.idempotency?.probe === undefined;
  return isIdle || probe === undefined ? rest : { ...rest, probe };
}

/** Where a route's setting is written: in the route, else in `defaults`. Of one written nowhere, the route's own path. */
export function writtenAt(findings: Findings, index: number, setting: string): string {
  const own = `routes[${index}].${setting}`;
  const inherited = `defaults.${setting}`;
  return !findings.isWritten(own) && findings.isWritten(inherited) ? inherited : own;
}
