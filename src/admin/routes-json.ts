import { formatDuration } from "../config/duration.js";
import type { Probe, Route } from "../model.js";
import { matchView, policyView } from "../rules/policy-view.js";

/** The routes in force in the words of the configuration file: with the upstream and the probe, never with a secret. */
export function routesJson(routes: readonly Route[]) {
  return routes.map((route) => {
    const { match, upstream, policy } = route;
    return {
      name: route.name,
      match: { ...matchView(route), caseSensitive: match.caseSensitive, ambiguousPaths: match.ambiguousPaths },
      upstream: {
        url: upstream.origin,
        timeout: formatDuration(upstream.timeoutMs),
        connectTimeout: formatDuration(upstream.connectTimeoutMs),
        connections: upstream.connections,
        preserveHost: upstream.preserveHost,
      },
      idempotency:
        policy === null
          ? null
          : {
              ...policyView(policy),
              waitTimeout: formatDuration(policy.waitTimeoutMs),
              retention: formatDuration(policy.retentionMs),
              maxWaiters: policy.maxWaiters,
              lease: formatDuration(policy.leaseMs),
              omitHeaders: [...policy.omitHeaders],
              probe: policy.probe === null ? null : probeJson(policy.probe),
            },
    };
  });
}

/** A password in the address, or an API key in its query, is nobody's to read. */
function probeJson({ method, url, done, notDone }: Probe) {
  const shown = url.replace(/\/\/[^/?#]*@/, "//…@").replace(/\?.*/s, "?…");
  return { method, url: shown, done: [...done], notDone: [...notDone] };
}
