import type { RouteKind, Variant } from "./history.js";
import { Random } from "./random.js";

/** What will happen to one key, drawn from the seed before anything runs. */
export interface Plan {
  readonly key: string;
  readonly sentKey: string;
  readonly tenant: string;
  readonly route: RouteKind;
  readonly actors: readonly Actor[];
  /** What the upstream does with the first dispatch, the second, …; with any further one it is well-behaved. */
  readonly dispatches: readonly DispatchPlan[];
}

/** One client that wants the request done. */
export interface Actor {
  readonly name: string;
  readonly startMs: number;
  readonly variant: Variant;
  readonly tries: readonly Try[];
  /** How often it asks again although it has its answer. */
  readonly repeats: number;
}

export interface Try {
  /** Which gateway, as a share of 1. */
  readonly gateway: number;
  /** Then it hangs up. */
  readonly patienceMs: number;
  /** Before the next try. */
  readonly pauseMs: number;
}

export type BehaviourKind =
  | "ok"
  | "slow"
  | "error"
  | "release"
  | "unknown"
  | "reset"
  | "vanish"
  | "half"
  | "hang"
  | "large";

export interface DispatchPlan {
  readonly behaviour: BehaviourKind;
  readonly status: number;
  readonly delayMs: number;
  readonly padding: number;
  /** kill -9 of the gateway that sent it: when it arrives, or right after it was answered. */
  readonly kill: "no" | "on arrival" | "on answer";
}

/** Of the rig's routes; the plans are drawn around it. */
export const leaseMs = 700;
export const upstreamTimeoutMs = 1500;
export const maxStoredBytes = 16 * 1024;

const firstBehaviours: Readonly<Record<BehaviourKind, number>> = {
  ok: 44,
  slow: 12,
  error: 5,
  release: 12,
  unknown: 5,
  reset: 8,
  vanish: 4,
  half: 4,
  hang: 3,
  large: 3,
};

const statuses: Readonly<Partial<Record<BehaviourKind, readonly number[]>>> = {
  error: [400, 409, 500],
  release: [307, 408, 429, 521],
  unknown: [502, 503, 504, 524],
};

export const calm: DispatchPlan = { behaviour: "ok", status: 201, delayMs: 0, padding: 10, kill: "no" };

export function planHistory(seed: number, index: number): Plan {
  const random = new Random(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
  const route = random.weighted<RouteKind>({ hold: 70, retry: 15, probe: 15 });
  const actors = Array.from({ length: random.pick([1, 1, 2, 2, 3, 4]) }, (_, at) => planActor(random, at));
  const dispatches = Array.from({ length: 3 }, () => planDispatch(random, route));
  const key = `s${seed}-h${index}`;
  // Neighbours use one key, each for themselves. A probe is asked by the key alone.
  const isSecond = index % 2 === 1;
  const sentKey = isSecond && route !== "probe" ? `s${seed}-h${index - 1}` : key;
  return { key, sentKey, tenant: isSecond ? "two" : "one", route, actors, dispatches };
}

function planActor(random: Random, at: number): Actor {
  const tries = Array.from({ length: random.integer(3, 6) }, () => ({
    gateway: random.next(),
    patienceMs: random.chance(0.3) ? random.integer(20, 400) : random.integer(600, 2500),
    pauseMs: random.integer(0, 500),
  }));
  return {
    name: `client ${at + 1}`,
    // Many at the very same time: that is when they race for the claim.
    startMs: at === 0 || random.chance(0.4) ? 0 : random.integer(1, 1200),
    variant: at > 0 && random.chance(0.12) ? "B" : "A",
    tries,
    repeats: random.pick([0, 0, 1, 2]),
  };
}

function planDispatch(random: Random, route: RouteKind): DispatchPlan {
  const drawn = random.weighted(firstBehaviours);
  // A probe's answer is stored whole; what is larger than the store takes is no matter of probing.
  const behaviour = drawn === "large" && route === "probe" ? "ok" : drawn;
  const isSlow = behaviour === "slow";
  return {
    behaviour,
    status: random.pick(statuses[behaviour] ?? [201]),
    delayMs: isSlow ? random.integer(leaseMs, upstreamTimeoutMs - 300) : random.pick([0, 0, random.integer(1, 300)]),
    padding: behaviour === "large" ? maxStoredBytes + random.integer(1, 20_000) : random.integer(0, 3000),
    kill: random.chance(0.03) ? "on arrival" : random.chance(0.03) ? "on answer" : "no",
  };
}
