import type { Claim, DoubtCause, Fingerprint, KeyHash, Lease, Outcome, Policy, RecordKey } from "../../src/model.js";
import type { Settlement } from "../../src/rules/outcome.js";
import type { ClaimRequest, Origin } from "../../src/store/record-store.js";
import { policy } from "../engine/fixture.js";
import { type Entry, MemoryStore } from "../store/memory-store.js";

/** One key, and everything that can still happen to it. Never changed: each step makes another one. */
export interface World {
  /** By the gateways' clocks, which no one sets. */
  readonly tick: number;
  /** How far the store's clock is ahead of them. */
  readonly ahead: number;
  /** The record, as the store that is asked has it. */
  readonly record: Entry | undefined;
  /** As the store has it that a failover would promote. */
  readonly replica: Entry | undefined;
  readonly lock: { readonly token: string; readonly endsTick: number } | undefined;
  readonly gateways: readonly Gateway[];
  /** Claims whose sender has given them up, and which the store may still carry out. */
  readonly underWay: readonly { readonly token: string; readonly variant: Variant }[];
  readonly dispatches: readonly Dispatch[];
  /** Dispatches whose answer the store took *and* a client was told of as its own. */
  readonly acknowledged: readonly number[];
  /** Dispatches that clients were told of as a success. */
  readonly told: readonly number[];
  readonly left: Budget;
  /** An operator has said "not done". */
  readonly isDecided: boolean;
  /** Something went wrong that may leave a record in doubt for which nothing was sent. */
  readonly troubles: boolean;
  readonly violation: string | undefined;
}

export type Variant = "A" | "B";

/**
 *     idle → won → ready → sending → sent → settling → answering → idle
 *
 * with `confirming`, `locking` and `rechecking` after `won` where the scenario has replicas to wait for, or locks.
 */
export type Place =
  | "idle"
  | "watching"
  | "confirming"
  | "locking"
  | "rechecking"
  | "ready"
  | "sending"
  | "sent"
  | "settling"
  | "answering"
  | "withdrawing";

export interface Gateway {
  readonly at: Place;
  /** The requests that clients will still send to it, one after the other, `AAB`. The first is the one under way. */
  readonly requests: string;
  readonly token: string;
  readonly askedTick: number;
  readonly taken: DoubtCause | null;
  /** The flight it waits for. */
  readonly after: string;
  /** The dispatch it made, 1 for the first; 0: none. */
  readonly dispatch: number;
  readonly outcome: "" | "final" | "released" | "perhaps" | "unsent" | "reset";
  /** The store took the end of its flight. */
  readonly isStored: boolean;
  /** Its client has been answered. */
  readonly isTold: boolean;
  readonly isUnlocked: boolean;
  /** Where a withdrawal leads to. */
  readonly leadsTo: "idle" | "watching";
}

export interface Dispatch {
  readonly variant: Variant;
  /** As the upstream knows it. `lost`: answered by nobody, and perhaps carried out. */
  readonly fate: "running" | "final" | "released" | "perhaps" | "lost";
  /** It was in doubt, and the route let somebody run it again, or an operator said that it was not done. */
  readonly isExcused: boolean;
}

export interface Budget {
  /** Halves of a lease that may pass. */
  readonly ticks: number;
  readonly crashes: number;
  /** Exchanges with the store whose answer never comes. */
  readonly losses: number;
  readonly failovers: number;
  readonly decisions: number;
  /** Steps of the store's clock: each takes it two halves of a lease ahead. */
  readonly jumps: number;
}

/** What one search is about. */
export interface Scenario {
  /** For each gateway the bodies of the requests it gets. */
  readonly requests: readonly string[];
  readonly inDoubt: "hold" | "retry";
  /** Whether a gateway may sleep past its lease between its last look at the clock and the first byte it sends. */
  readonly mayOversleep: boolean;
  readonly waitReplicas: boolean;
  readonly hasLocks: boolean;
  /** `running`: a failover forgets nothing but what belongs to a flight that still runs. */
  readonly forgets: "anything" | "running";
  readonly budget: Budget;
  readonly guards: Guards;
}

/** What keeps a request from being run twice. The model has to notice when one of them is taken away. */
export interface Guards {
  readonly settle: (outcome: Outcome, policy: Policy, doubt: DoubtCause | null) => Settlement;
  /** Verbs that compare the owner's token. */
  readonly compareToken: ReadonlySet<"complete" | "release" | "strand" | "withdraw">;
  readonly isExpiryDoubt: boolean;
  readonly isStoredFirst: boolean;
  readonly isReadUnderLock: boolean;
  readonly isWithdrawnForGood: boolean;
  /** Where doubts may be taken over, the store is asked for the lease right before the first byte is sent. */
  readonly isConfirmedBeforeSending: boolean;
}

export const key = "0".repeat(64) as RecordKey;
export const tickMs = 5_000;
export const leaseTicks = 2;
export const leaseMs = leaseTicks * tickMs;

export function policyOf({ inDoubt }: Scenario): Policy {
  return { ...policy, inDoubt, leaseMs };
}

export const idle: Omit<Gateway, "requests"> = {
  at: "idle",
  token: "",
  askedTick: 0,
  taken: null,
  after: "",
  dispatch: 0,
  outcome: "",
  isStored: false,
  isTold: false,
  isUnlocked: false,
  leadsTo: "idle",
};

export function firstWorld({ requests, budget }: Scenario): World {
  return {
    tick: 0,
    ahead: 0,
    record: undefined,
    replica: undefined,
    lock: undefined,
    gateways: requests.map((each) => ({ ...idle, requests: each })),
    underWay: [],
    dispatches: [],
    acknowledged: [],
    told: [],
    left: budget,
    isDecided: false,
    troubles: false,
    violation: undefined,
  };
}

export function withGateway(world: World, at: number, changes: Partial<Gateway>): World {
  return { ...world, gateways: world.gateways.map((each, index) => (index === at ? { ...each, ...changes } : each)) };
}

export function spend(world: World, what: keyof Budget): World {
  return { ...world, left: { ...world.left, [what]: world.left[what] - 1 } };
}

const store = new MemoryStore();

/** One atomic step of the reference store. */
export async function ask<T>(world: World, verb: (store: MemoryStore) => Promise<T>): Promise<[World, T]> {
  store.become(key, world.record, storeMs(world));
  const answer = await verb(store);
  return [{ ...world, record: store.copy(key) }, answer];
}

export function storeMs({ tick, ahead }: World): number {
  return (tick + ahead) * tickMs;
}

export function fingerprintOf(variant: Variant): Fingerprint {
  return variant.repeat(64) as Fingerprint;
}

const about = {
  retentionMs: 1e9,
  openRetentionMs: 1e9,
  route: "pay",
  namespace: "pay",
  keyHash: key as string as KeyHash,
};

export function originOf(variant: Variant): Origin {
  return { ...about, fingerprint: fingerprintOf(variant) };
}

export async function claimBy(
  world: World,
  scenario: Scenario,
  { token, variant, after }: { token: string; variant: Variant; after: string },
): Promise<[World, Claim]> {
  const request: ClaimRequest = {
    ...originOf(variant),
    lease: leaseOf(token),
    leaseMs,
    mayTake: scenario.inDoubt === "retry",
    after: after === "" ? undefined : after,
  };
  const { record } = world;
  const isOver = record?.state === "in_flight" && record.leaseEndsAtMs <= storeMs(world);
  const before = isOver && !scenario.guards.isExpiryDoubt ? { ...world, record: undefined } : world;
  return ask(before, (store) => store.claim(request));
}

export function leaseOf(token: string): Lease {
  return { key, token };
}

/** The same few names again and again, or no two worlds would ever be the same. */
export function freeToken({ record, replica, lock, gateways, underWay }: World): string {
  const used = new Set([record?.token, record?.before?.token, replica?.token, replica?.before?.token, lock?.token]);
  for (const { token, after } of gateways) used.add(token).add(after.repeat(2));
  for (const { token } of underWay) used.add(token);
  for (let number = 1; ; number++) {
    const token = String(number).padStart(16, "0").repeat(2);
    if (!used.has(token)) return token;
  }
}

/**
 * What distinguishes two worlds. Gateways are interchangeable, and only time that is left counts, not time that has
 * passed.
 */
export function digestOf(world: World): string {
  const { tick, record, replica, lock, gateways, underWay, dispatches, acknowledged, told, left } = world;
  const { ticks, crashes, losses, failovers, decisions, jumps } = left;
  return [
    shown(record, tick + world.ahead),
    record === replica ? "=" : shown(replica, tick + world.ahead),
    lock && lock.endsTick > tick ? nameOf(lock.token) + (lock.endsTick - tick) : "",
    ...gateways.map((each) => gatewayShown(each, tick)).sort(),
    underWay.map(({ token, variant }) => nameOf(token) + variant).sort(),
    dispatches.map(({ variant, fate, isExcused }) => variant + fate + isExcused),
    `${acknowledged}/${told}/${ticks}${crashes}${losses}${failovers}${decisions}${jumps}${world.isDecided}${world.troubles}`,
  ].join(";");
}

function gatewayShown(gateway: Gateway, tick: number): string {
  const { at, requests, token, askedTick, taken, after, dispatch, outcome, isStored, isTold, isUnlocked } = gateway;
  const isLate = at !== "sent" && tick > askedTick;
  const flags = `${isLate}${isStored}${isTold}${isUnlocked}${gateway.leadsTo}`;
  return `${at},${requests},${nameOf(token)},${nameOf(after)},${taken},${dispatch}${outcome},${flags}`;
}

function shown(entry: Entry | undefined, tick: number): string {
  if (entry === undefined) return "";
  const { state, token, fingerprint, leaseEndsAtMs, cause, before, landing, completion } = entry;
  const leaseLeft = state === "in_flight" ? Math.max(0, leaseEndsAtMs / tickMs - tick) : 0;
  const doubt = before && nameOf(before.token) + before.cause;
  const kept = completion?.kind === "response" ? completion.response.body : "";
  const told = landing?.kind === "response" ? landing.response.body : (landing?.problem.code ?? "");
  return `${state},${nameOf(token)},${fingerprint[0]},${leaseLeft},${cause},${doubt},${kept},${told}`;
}

function nameOf(token: string): string {
  return token.slice(14, 16);
}
