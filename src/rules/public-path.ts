import type { Route } from "../model.js";

/**
 * The path of a request as logs and traces may show it, from its target without the query. Where the key or a scope
 * value is read from the path, the route's pattern stands in for it: neither may ever be written down.
 */
export function publicPath(route: Route, path: string): string {
  return route.policy !== null && isReadFromPath(route.policy) ? route.match.path : path;
}

function isReadFromPath(policy: NonNullable<Route["policy"]>): boolean {
  return policy.key.sources.some((source) => source.from === "path") || policy.scope.some((s) => s.from === "path");
}
