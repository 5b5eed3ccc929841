/** What readiness depends on, as the process sees it now. */
export interface Readiness {
  /** Whether the store has answered once. */
  readonly storeAnswered: () => boolean;
  readonly storeUp: () => boolean;
  readonly draining: () => boolean;
}

/** One store outage must not take every replica out of service at once: it is shown, and only the first answer counts. */
export function readinessOf({ storeAnswered, storeUp, draining }: Readiness) {
  const store = !storeAnswered() ? "starting" : storeUp() ? "up" : "down";
  const state = draining() ? "draining" : store === "starting" ? "starting" : "ready";
  return { status: state === "ready" ? 200 : 503, state, checks: { store, draining: draining() } };
}
