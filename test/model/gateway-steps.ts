import type { Landing, Outcome, StoredResponse } from "../../src/model.js";
import { inProgress, judge, outcomeUnknown, type Verdict } from "../../src/rules/judge.js";
import { mayDispatch, mayTell, mayWin, numberOf, sentTwice } from "./laws.js";
import {
  ask,
  claimBy,
  type Dispatch,
  fingerprintOf,
  freeToken,
  type Gateway,
  idle,
  leaseMs,
  leaseOf,
  leaseTicks,
  originOf,
  policyOf,
  type Scenario,
  spend,
  tickMs,
  type Variant,
  type World,
  withGateway,
} from "./world.js";

export type Step = readonly [name: string, world: World];

/**
 * Everything a gateway may do next. Between two of its steps anything else may happen, for as long as it likes: that is
 * what a pause, a slow network and a busy machine are.
 */
export async function gatewaySteps(world: World, scenario: Scenario, at: number): Promise<Step[]> {
  const gateway = world.gateways[at]!;
  const steps = await programs[gateway.at](world, scenario, at, gateway);
  return steps.map(([name, next]) => [`gateway ${at + 1}: ${name}`, next]);
}

type Program = (world: World, scenario: Scenario, at: number, gateway: Gateway) => Promise<Step[]> | Step[];

const programs: Readonly<Record<Gateway["at"], Program>> = {
  idle: (world, scenario, at, { requests }) => (requests === "" ? [] : claim(world, scenario, at)),
  watching: async (world, scenario, at) => [
    ...(await claim(world, scenario, at)),
    ["tells its client: in progress", finish(world, at)],
  ],
  confirming,
  locking,
  rechecking,
  ready: lookAtClock,
  sending,
  sent,
  settling,
  answering: (world, scenario, at) => [["answers its client", finish(tellOwn(world, scenario, at), at)]],
  withdrawing,
};

async function claim(world: World, scenario: Scenario, at: number): Promise<Step[]> {
  const { after, requests } = world.gateways[at]!;
  const variant = requests[0] as Variant;
  const token = freeToken(world);
  const [asked, answer] = await claimBy(world, scenario, { token, variant, after });
  const verdict = judge(answer, fingerprintOf(variant), policyOf(scenario));
  const steps: Step[] = [];
  if (answer.kind === "won") {
    const first = scenario.waitReplicas ? "confirming" : scenario.hasLocks ? "locking" : "ready";
    const won = { at: first, token, askedTick: world.tick, taken: answer.taken, after: "" } as const;
    const violation = mayWin(world, scenario) ? undefined : "a key was won whose answer had been acknowledged";
    const dispatches = asked.dispatches.map((each) => ({
      ...each,
      isExcused: each.isExcused || answer.taken !== null,
    }));
    steps.push(["claims, and wins", { ...withGateway(asked, at, won), dispatches, violation }]);
  } else {
    const flight = answer.kind === "held" ? answer.flight : after;
    steps.push([`claims: ${answer.kind}`, act(asked, scenario, at, verdict, flight)]);
  }
  if (world.left.losses > 0) {
    const lost = { ...spend(world, "losses"), underWay: [...world.underWay, { token, variant }] };
    steps.push(["claims, and is told nothing", withGateway(lost, at, { at: "withdrawing", token, leadsTo: "idle" })]);
  }
  return steps;
}

/** What somebody gets who did not win. */
function act(world: World, scenario: Scenario, at: number, verdict: Verdict, after: string): World {
  switch (verdict.kind) {
    case "wait":
      return withGateway(world, at, { at: "watching", token: "", after });
    case "replay":
      return finish(tell(world, scenario, at, verdict.response), at);
    case "share": {
      const { landing } = verdict;
      return finish(landing.kind === "response" ? tell(world, scenario, at, landing.response) : world, at);
    }
    case "reject":
      return finish(world, at);
    default:
      throw new Error(`nobody who lost is told to ${verdict.kind}`);
  }
}

/** `waitReplicas`: the store says "won" only when a replica holds the claim; else it is undone. */
function confirming(world: World, scenario: Scenario, at: number, { token }: Gateway): Step[] {
  const goOn = { at: scenario.hasLocks ? "locking" : "ready" } as const;
  const steps: Step[] = [["gives up waiting for a replica", withGateway(world, at, { at: "withdrawing" })]];
  if (world.replica?.token === token) steps.push(["has its claim confirmed", withGateway(world, at, goOn)]);
  return steps;
}

function locking(world: World, _scenario: Scenario, at: number, { token }: Gateway): Step[] {
  const { lock, tick } = world;
  if (lock !== undefined && lock.endsTick > tick) {
    return [["is refused the lock", withGateway(world, at, { at: "withdrawing", leadsTo: "watching" })]];
  }
  const locked = { ...world, lock: { token, endsTick: tick + leaseTicks } };
  return [["is granted the lock", withGateway(locked, at, { at: "rechecking" })]];
}

/** Under the lock it looks at its claim again. */
async function rechecking(world: World, scenario: Scenario, at: number, { token }: Gateway): Promise<Step[]> {
  if (!scenario.guards.isReadUnderLock) return [["trusts its claim", withGateway(world, at, { at: "ready" })]];
  const [asked, answer] = await extend(world, token);
  if (answer === "kept") return [["finds its claim under the lock", withGateway(asked, at, { at: "ready" })]];
  const again = { at: "watching", token: "" } as const;
  return [["finds its claim gone under the lock", unlock(withGateway(asked, at, again), token)]];
}

/** A claim that is older than half its lease is asked about before anything is sent for it. */
async function lookAtClock(world: World, _scenario: Scenario, at: number, gateway: Gateway): Promise<Step[]> {
  const { token, askedTick } = gateway;
  const go = { at: "sending" } as const;
  if ((world.tick - askedTick) * tickMs < leaseMs / 2) return [["is in time", withGateway(world, at, go)]];
  const [asked, answer] = await extend(world, token);
  if (answer === "kept") {
    return [["is late, and asks whether it may", withGateway(asked, at, { ...go, askedTick: world.tick })]];
  }
  return [["is too late", unlock(withGateway(asked, at, { at: "withdrawing", leadsTo: "watching" }), token)]];
}

async function sending(world: World, scenario: Scenario, at: number, gateway: Gateway): Promise<Step[]> {
  const variant = gateway.requests[0] as Variant;
  const unsent = withGateway(world, at, { at: "settling", outcome: "unsent" });
  // It looks at the clock once more right before the first octet. What it may oversleep is the moment after that look.
  if (world.tick - gateway.askedTick >= leaseTicks && !scenario.mayOversleep) {
    return [["is too late by now, and sends nothing", unsent]];
  }
  // Where another gateway may take the record over, the store says right before that the lease is held.
  const isAsked = scenario.inDoubt !== "hold" && !scenario.mayOversleep && scenario.guards.isConfirmedBeforeSending;
  if (isAsked) {
    const [, answer] = await extend(world, gateway.token);
    if (answer === "lost") return [["has lost its lease, and sends nothing", unsent]];
  }
  const violation = mayDispatch(world) ? undefined : sentTwice;
  const dispatches: Dispatch[] = [...world.dispatches, { variant, fate: "running", isExcused: false }];
  const sent = withGateway({ ...world, dispatches, violation }, at, { at: "sent", dispatch: dispatches.length });
  return [
    [`sends dispatch ${dispatches.length}`, sent],
    ["finds the upstream closed", unsent],
  ];
}

async function sent(world: World, scenario: Scenario, at: number, gateway: Gateway): Promise<Step[]> {
  const end = (fate: Dispatch["fate"], outcome: Gateway["outcome"]) => {
    const dispatches = world.dispatches.map((each, index) =>
      index === gateway.dispatch - 1 ? { ...each, fate } : each,
    );
    return withGateway({ ...world, dispatches }, at, { at: "settling", outcome });
  };
  return [
    ["is answered 201", end("final", "final")],
    ["is answered 503", end("released", "released")],
    ["is answered 504", end("perhaps", "perhaps")],
    ["is cut off", end("lost", "reset")],
    ["renews its lease", await renew(world, scenario, gateway)],
  ];
}

async function renew(world: World, scenario: Scenario, gateway: Gateway): Promise<World> {
  const { token } = gateway;
  const { lock, tick } = world;
  if (!scenario.hasLocks) return (await extend(world, token))[0];
  // Its lock is gone: in doubt, so that nobody takes the record for free.
  if (lock?.token !== token || lock.endsTick <= tick) {
    if (world.record?.state !== "in_flight") return world;
    return (
      await ask(world, (store) =>
        store.strand(leaseOf(token), "lock_lost", undefined, originOf(gateway.requests[0] as Variant)),
      )
    )[0];
  }
  return (await extend({ ...world, lock: { token, endsTick: tick + leaseTicks } }, token))[0];
}

/** Writes how its flight ended. The end of a write may be lost: then its client is answered, and it is written again. */
async function settling(world: World, scenario: Scenario, at: number, gateway: Gateway): Promise<Step[]> {
  const steps: Step[] = [];
  if (gateway.isTold) steps.push(["stops trying to store the end", finish(world, at)]);
  else if (!scenario.guards.isStoredFirst) {
    return [["answers its client", withGateway(tellOwn(world, scenario, at), at, { isTold: true })]];
  } else if (world.left.losses > 0) {
    const told = withGateway(spend({ ...world, troubles: true }, "losses"), at, { isTold: true });
    steps.push(["cannot reach the store, and answers its client", tellOwn(told, scenario, at)]);
  }
  const [name, stored] = await writeEnd(world, scenario, at, gateway);
  steps.push([name, gateway.isTold && stored.gateways[at]!.at === "answering" ? finish(stored, at) : stored]);
  return steps;
}

async function writeEnd(world: World, scenario: Scenario, at: number, gateway: Gateway): Promise<Step> {
  const { outcome, dispatch, taken, requests, isUnlocked } = gateway;
  const result = outcomeOf(outcome, dispatch);
  const settlement = scenario.guards.settle(result, policyOf(scenario), taken);
  const own = gateway.token;
  const token = (verb: "complete" | "release" | "strand" | "withdraw") => tokenFor(world, scenario, verb, own);
  if (settlement.kind === "release" || settlement.kind === "withdraw") {
    // The lock first: whoever comes next is stopped by the record until it says so.
    if (scenario.hasLocks && !isUnlocked) {
      return ["gives back its lock", unlock(withGateway(world, at, { isUnlocked: true }), own)];
    }
    const landing = landingOf(result);
    const [asked, answer] = await ask(world, (store) =>
      settlement.kind === "withdraw"
        ? store.withdraw(leaseOf(token("withdraw")))
        : store.release(leaseOf(token("release")), { landing, landingMs: 30_000 }),
    );
    return [`releases: ${answer}`, withGateway(asked, at, { at: "answering", isStored: answer !== "lost" })];
  }
  const [asked, answer] = await ask<string>(world, (store) =>
    settlement.kind === "strand"
      ? store.strand(leaseOf(token("strand")), settlement.cause, landingOf(result), originOf(requests[0] as Variant))
      : store.complete(leaseOf(token("complete")), completionOf(result), originOf(requests[0] as Variant)),
  );
  const ended = withGateway(asked, at, { at: "answering", isStored: answer !== "lost" });
  if (answer !== "lost") return [`writes the end: ${answer}`, unlock(ended, own)];
  // A claim that its lock stops is in the way, and about to be withdrawn; else its lock outlasts that claim.
  const isLocked = world.lock?.token === own && world.lock.endsTick > world.tick;
  if (!scenario.hasLocks || !isLocked) return ["writes the end: lost", ended];
  return ["writes the end: lost", { ...ended, lock: { token: own, endsTick: world.tick + leaseTicks } }];
}

/** Until the claim can no longer be carried out. */
async function withdrawing(world: World, scenario: Scenario, at: number, gateway: Gateway): Promise<Step[]> {
  const token = tokenFor(world, scenario, "withdraw", gateway.token);
  const [asked, answer] = await ask(world, (store) => store.withdraw(leaseOf(token)));
  const mayStillHappen = world.underWay.some((each) => each.token === gateway.token);
  const isOver = !mayStillHappen || !scenario.guards.isWithdrawnForGood;
  const next = gateway.leadsTo === "idle" ? finish(asked, at) : withGateway(asked, at, { ...idle, at: "watching" });
  return [[`withdraws its claim: ${answer}`, isOver ? next : asked]];
}

/** Without the comparison a verb writes to whoever owns the record. */
function tokenFor(
  world: World,
  { guards }: Scenario,
  verb: "complete" | "release" | "strand" | "withdraw",
  own: string,
) {
  return guards.compareToken.has(verb) ? own : (world.record?.token ?? own);
}

function extend(world: World, token: string): Promise<[World, "kept" | "lost"]> {
  return ask(world, (store) => store.extend(leaseOf(token), leaseMs, 1e9));
}

function unlock(world: World, token: string): World {
  return world.lock?.token === token ? { ...world, lock: undefined } : world;
}

/** The request is over, for its client at least; the next one may come. */
export function finish(world: World, at: number): World {
  return withGateway(world, at, { ...idle, requests: world.gateways[at]!.requests.slice(1) });
}

function tell(world: World, scenario: Scenario, at: number, { body }: StoredResponse): World {
  const number = numberOf(body);
  const variant = world.gateways[at]!.requests[0] as Variant;
  const violation = world.violation ?? mayTell(world, scenario, number, variant);
  const isNew = world.dispatches[number - 1]?.fate === "final" && !world.told.includes(number);
  return { ...world, violation, told: isNew ? [...world.told, number].sort() : world.told };
}

function tellOwn(world: World, scenario: Scenario, at: number): World {
  const { outcome, dispatch, isStored } = world.gateways[at]!;
  if (outcome !== "final" && outcome !== "released" && outcome !== "perhaps") return world;
  const told = tell(world, scenario, at, responseOf(outcome, dispatch));
  const isPromised = outcome === "final" && (isStored || !scenario.guards.isStoredFirst);
  return isPromised ? { ...told, acknowledged: [...world.acknowledged, dispatch].sort() } : told;
}

const error = new Error("as the upstream would have it");
const statuses = { final: 201, released: 503, perhaps: 504 } as const;

function responseOf(outcome: keyof typeof statuses, dispatch: number): StoredResponse {
  const body = Buffer.from(String(dispatch));
  return { status: statuses[outcome], reason: "", headers: [], body, trailers: [] };
}

function outcomeOf(outcome: Gateway["outcome"], dispatch: number): Outcome {
  switch (outcome) {
    case "unsent":
      return { kind: "unsent", error };
    case "reset":
      return { kind: "unanswered", error, cause: "reset" };
    case "":
      throw new Error("a flight without an end has no outcome");
    default:
      return { kind: "answered", response: responseOf(outcome, dispatch) };
  }
}

function completionOf(outcome: Outcome) {
  if (outcome.kind !== "answered") throw new Error("only an answer completes");
  return { kind: "response", response: outcome.response } as const;
}

function landingOf(outcome: Outcome): Landing {
  if (outcome.kind === "answered") return { kind: "response", response: outcome.response };
  return { kind: "problem", problem: outcome.kind === "unsent" ? inProgress : outcomeUnknown };
}
