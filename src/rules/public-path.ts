import type { Route } from "../model.js";

/**
 * The path of a request as logs and traces may show it, from its target without the query. Where the key or a scope
 * value is read from the path, the route's pattern stands in for it: neither may ever be written down.
 */
export function publicPath(route: Route, path: string): string {
  return route.policy !== null && isReadFromPath(route.policy) ? route.match.path : path;
}

function isReadFromPath(policy: NonNullable<Route["policy"]>): boolean {
  for (const source of policy.key.sources) if (source.from === "path") return true;
  for (const source of policy.scope) if (source.from === "path") return true;
  return false;
}
