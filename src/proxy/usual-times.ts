import type { EventHub } from "../events.js";

/** Weight of the newest call in the average. */
const newestWeight = 0.2;
/** A `Retry-After` is up to this much longer, so that clients that were refused together do not return together. */
const longestJitter = 0.25;
const longestRetryAfterSeconds = 300;

/** How long the upstream calls of each route usually take: a moving average, fed by the event `upstream`. */
export class UsualTimes {
  readonly #msByRoute = new Map<string, number>();

  constructor(hub: EventHub) {
    hub.on("upstream", ({ route, durationMs }) => {
      const known = this.#msByRoute.get(route) ?? durationMs;
      this.#msByRoute.set(route, known + newestWeight * (durationMs - known));
    });
  }

  /** Seconds for `Retry-After` while a call of this route runs that began at least `passedMs` ago. 1 to 375. */
  retryAfterSeconds(route: string, passedMs: number, random: () => number = Math.random): number {
    const leftSeconds = Math.ceil(((this.#msByRoute.get(route) ?? 0) - passedMs) / 1000);
    const seconds = Math.min(Math.max(1, leftSeconds), longestRetryAfterSeconds);
    return Math.floor(seconds * (1 + random() * longestJitter));
  }
}
