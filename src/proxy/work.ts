import type { ProbeAnswer, Work } from "../engine/answer.js";
import type { EventHub } from "../events.js";
import type { Outcome, Policy, Route, Upstream } from "../model.js";
import type { RequestHead } from "../rules/ambiguity.js";
import { headerValue } from "../rules/headers.js";
import { forwardedTarget } from "../rules/key.js";
import { type ProbeInput, probeTarget } from "../rules/probe-target.js";
import { publicPath } from "../rules/public-path.js";
import type { Trace } from "../trace.js";
import { type Dispatch, exchange } from "./exchange.js";
import { hostOf, type Peer, upstreamHeaders } from "./forward.js";
import { callPlainly, type WholeDispatch } from "./plain/plain-call.js";
import type { Pools } from "./pools.js";
import { traceCall } from "./traced.js";

/** A protected request, read whole and ready to be sent. */
export interface Ready {
  readonly route: Route;
  readonly policy: Policy;
  readonly head: RequestHead;
  readonly peer: Peer;
  readonly body: Buffer;
  readonly probe: ProbeInput;
  readonly trace: Trace | undefined;
  /** Told how long the upstream has taken. */
  readonly away: (durationMs: number) => void;
}

/** What the engine may do with a request: run it, or ask whether it has run. */
export function workFor(ready: Ready, pools: Pools, hub: EventHub): Work {
  const { route, policy, trace } = ready;
  return {
    async run(): Promise<Outcome> {
      const begunMs = performance.now();
      const dispatch: WholeDispatch = {
        origin: route.upstream.origin,
        method: ready.head.method,
        target: forwardedTarget(policy.key, ready.head.target),
        headers: upstreamHeaders(ready.head, route, ready.peer, "whole"),
        body: ready.body,
        timeoutMs: route.upstream.timeoutMs,
        maxStoredBytes: policy.maxStoredBytes,
      };
      const end = trace === undefined ? undefined : traceCall(trace, dispatch, publicPath(route, ready.head.rawPath));
      const outcome = await call(pools, route.upstream, dispatch);
      end?.(outcome);
      const durationMs = performance.now() - begunMs;
      hub.emit("upstream", { route: route.name, durationMs });
      ready.away(durationMs);
      return outcome;
    },
    async probe(): Promise<ProbeAnswer> {
      const { probe } = policy;
      const url = probe === null ? undefined : probeTarget(probe.url, ready.probe);
      if (probe === null || url === undefined)
        return { kind: "unclear", why: "the probe's address cannot be filled in" };
      const begunMs = performance.now();
      const [pool, dispatch] = probeCall(ready, url, probe.method, pools);
      const end = trace === undefined ? undefined : traceCall(trace, dispatch);
      const outcome = await exchange(pool, dispatch);
      end?.(outcome);
      ready.away(performance.now() - begunMs);
      if (outcome.kind !== "answered") {
        if (outcome.kind === "streamed") outcome.response.body.destroy();
        return { kind: "unclear", why: `the probe was ${outcome.kind}` };
      }
      const { status } = outcome.response;
      if (probe.done.has(status)) return { kind: "done", response: outcome.response };
      if (probe.notDone.has(status)) return { kind: "notDone" };
      return { kind: "unclear", why: `the probe was answered with ${status}` };
    },
  };
}

function call(pools: Pools, upstream: Upstream, dispatch: WholeDispatch): Promise<Outcome> {
  const plain = dispatch.method === "HEAD" ? undefined : pools.plain(upstream);
  if (plain === undefined) return exchange(pools.for(upstream), dispatch);
  return new Promise((resolve) => {
    callPlainly(plain, dispatch, resolve);
  });
}

/** Asked with the client's own credentials, but only where the request itself would take them. */
function probeCall(ready: Ready, url: string, method: string, pools: Pools): [ReturnType<Pools["for"]>, Dispatch] {
  const { upstream } = ready.route;
  const { origin, pathname, search } = new URL(url);
  const isSameOrigin = origin === upstream.origin;
  const sent = upstreamHeaders(ready.head, ready.route, ready.peer, "whole");
  const headers = ["Host", isSameOrigin ? (headerValue(sent, "host") ?? hostOf(origin)) : hostOf(origin)];
  for (const name of ["Authorization", "traceparent"]) {
    const value = headerValue(sent, name.toLowerCase());
    if (value !== undefined && (isSameOrigin || name === "traceparent")) headers.push(name, value);
  }
  const asked: Upstream = isSameOrigin ? upstream : { ...upstream, origin };
  const dispatch: Dispatch = {
    origin,
    method,
    target: pathname + search,
    headers,
    body: null,
    timeoutMs: upstream.timeoutMs,
    maxStoredBytes: ready.policy.maxStoredBytes,
  };
  return [pools.for(asked), dispatch];
}
