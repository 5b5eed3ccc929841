import type { Route } from "../../src/model.js";
import { type RawRequest, type RequestHead, readHead } from "../../src/rules/ambiguity.js";
import { compileRouter } from "../../src/rules/route.js";
import { type Routing, routeRequest } from "../../src/rules/routing.js";
import { sampleRoute } from "../sample-config.js";

type MatchChanges = Partial<Route["match"]>;

/** POST and PATCH, as the configuration makes it when no methods are named. */
export function guarded(
  path: string,
  changes: MatchChanges = {},
  policy: Parameters<typeof sampleRoute>[1] = {},
): Route {
  const methods = new Set(["POST", "PATCH"]);
  return routeOf(sampleRoute("guarded", policy), { methods, path, ...changes }, `guarded ${path}`);
}

export function open(path: string, changes: MatchChanges = {}): Route {
  return routeOf(sampleRoute("open", null), { methods: null, path, ...changes }, `open ${path}`);
}

function routeOf(sample: Route, changes: MatchChanges, name: string): Route {
  return { ...sample, name, match: { ...sample.match, host: null, ...changes } };
}

export function requestOf(target: string, changes: Partial<RawRequest> = {}): RawRequest {
  return { method: "POST", target, httpVersion: "1.1", rawHeaders: ["Host", "api.example.com"], ...changes };
}

/** The head of a request that must be readable. */
export function headOf(target: string, changes: Partial<RawRequest> = {}): RequestHead {
  const head = readHead(requestOf(target, changes));
  if (head.kind === "refused") throw new Error(head.problem.detail);
  return head;
}

/** Routes requests; tells the route's name, `none`, or the problem's code. */
export function routing(routes: readonly Route[]): (request: RawRequest) => string {
  const router = compileRouter(routes);
  return (request) => {
    const head = readHead(request);
    if (head.kind === "refused") return head.problem.code;
    const routed: Routing = routeRequest(router, head);
    return routed.kind === "refused" ? routed.problem.code : (routed.match?.route.name ?? "none");
  };
}
