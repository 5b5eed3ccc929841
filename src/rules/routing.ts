import { ambiguous, type Refusal, type RequestHead } from "./ambiguity.js";
import { type Match, mayForwardAmbiguous, type Router } from "./route.js";

/** Which route a request takes; `undefined`: none. */
export type Routing = { readonly kind: "routed"; readonly match: Match | undefined } | Refusal;

/**
 * No spelling of a path slips past a protected route: the canonical path decides, and where an upstream may read the path as
 * one that belongs to another protected route, the request is refused. A reading that leads to no route, or to an
 * unprotected one, does no harm: whatever it could reach is not protected.
 */
export function routeRequest(router: Router, head: RequestHead): Routing {
  const { path } = head;
  if (path.doubtful !== undefined && !router.forwardsAmbiguous) return ambiguous(path.doubtful);
  const match = findByMethod(router, head, path.canonical);
  if (path.doubtful !== undefined && (match === undefined || !mayForwardAmbiguous(match.route))) {
    return ambiguous(path.doubtful);
  }
  if (match === undefined) return { kind: "routed", match };
  for (const variant of path.variants()) {
    const other = findByMethod(router, head, variant);
    if (other !== undefined && other.route !== match.route && other.route.policy !== null) {
      return ambiguous("the path may also be read as that of another route");
    }
  }
  return { kind: "routed", match };
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
