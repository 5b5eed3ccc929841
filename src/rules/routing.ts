import { ambiguous, type Refusal, type RequestHead } from "./ambiguity.js";
import type { Match, Router } from "./route.js";

/**
 * Which route a request takes; `undefined`: none. `doubt`: why the request is refused should the route protect it; only
 * where the route may leave it unprotected.
 */
export type Routing =
  | { readonly kind: "routed"; readonly match: Match | undefined; readonly doubt?: string | undefined }
  | Refusal;

/**
 * No spelling of a path slips past a protected route: the canonical path decides, and where an upstream may read the path
 * as one that belongs to another protected route, the request is refused. A reading that leads to no route, or to an
 * unprotected one, does no harm: whatever it could reach is not protected.
 */
export function routeRequest(router: Router, head: RequestHead): Routing {
  const { path } = head;
  const match = findByMethod(router, head, path.canonical);
  const doubt = path.doubtful === undefined || isForwarded(match) ? undefined : path.doubtful;
  if (doubt !== undefined && !isOptional(match)) return ambiguous(doubt);
  const variants = path.variants();
  if (variants === undefined) return ambiguous("the path can be read in too many ways");
  for (const variant of variants) {
    const other = findByMethod(router, head, variant);
    if (other !== undefined && other.route !== match?.route && other.route.policy !== null) {
      return ambiguous("the path may also be read as that of another route");
    }
  }
  return doubt === undefined ? { kind: "routed", match } : { kind: "routed", match, doubt };
}

/** Whether the route passes on `%2f`, `%5c` and `//` where no reading of them is a protected path. */
function isForwarded(match: Match | undefined): boolean {
  return match !== undefined && match.route.policy === null && match.route.match.ambiguousPaths !== "reject";
}

/** Whether the route protects only requests with a key, and would pass the path on without one. */
function isOptional(match: Match | undefined): boolean {
  return match?.route.policy?.key.required === false && match.route.match.ambiguousPaths !== "reject";
}

/**
 * A method override makes the request unsafe whatever its method: a protected route takes it if any does, the one for the
 * method the override names, else the one for the real method, else any.
 */
function findByMethod(router: Router, head: RequestHead, path: string): Match | undefined {
  const match = router.find(head.method, head.host, path);
  if (head.overrides.length === 0) return match;
  for (const override of head.overrides) {
    const other = router.find(override, head.host, path);
    if (other !== undefined && other.route.policy !== null) return other;
  }
  if (match !== undefined && match.route.policy !== null) return match;
  const any = router.findUnsafe(head.host, path);
  return any !== undefined && any.route.policy !== null ? any : match;
}
