import { settlement } from "../../src/rules/outcome.js";
import type { Budget, Guards, Scenario } from "./world.js";

const all: Guards = {
  settle: settlement,
  compareToken: new Set(["complete", "release", "strand", "withdraw"]),
  isExpiryDoubt: true,
  isStoredFirst: true,
  isReadUnderLock: true,
  isWithdrawnForGood: true,
  isConfirmedBeforeSending: true,
};

const nothing: Budget = { ticks: 0, crashes: 0, losses: 0, failovers: 0, decisions: 0, jumps: 0 };

type Changes = Partial<Omit<Scenario, "budget">> & { readonly budget?: Partial<Budget> };

function scenario({ budget, ...changes }: Changes): Scenario {
  return {
    requests: ["A", "A"],
    inDoubt: "hold",
    mayOversleep: false,
    waitReplicas: false,
    hasLocks: false,
    forgets: "anything",
    guards: all,
    ...changes,
    budget: { ...nothing, ...budget },
  };
}

/** Searched to the end in a few seconds: nothing may be found. */
export const sound: Readonly<Record<string, Scenario>> = {
  "two gateways": scenario({ mayOversleep: true, budget: { ticks: 2, crashes: 1, losses: 1 } }),
  "two gateways, three requests": scenario({
    requests: ["AA", "A"],
    mayOversleep: true,
    budget: { ticks: 2, crashes: 1 },
  }),
  "three gateways": scenario({
    requests: ["A", "A", "A"],
    mayOversleep: true,
    budget: { ticks: 2, crashes: 1 },
  }),
  "two bodies, and an operator who says: not done": scenario({
    requests: ["A", "AB"],
    budget: { ticks: 2, decisions: 1 },
  }),
  "what is in doubt may be retried": scenario({ inDoubt: "retry", budget: { ticks: 2, crashes: 1 } }),
  "the store's clock steps ahead, and doubts are held": scenario({
    mayOversleep: true,
    budget: { ticks: 1, crashes: 1, jumps: 1 },
  }),
  "the store's clock steps ahead, and doubts may be retried": scenario({
    inDoubt: "retry",
    budget: { ticks: 1, jumps: 1 },
  }),
  "a failover, and replicas are waited for": scenario({
    waitReplicas: true,
    mayOversleep: true,
    budget: { ticks: 2, crashes: 1, failovers: 1 },
  }),
  "a failover that forgets what runs, and locks": scenario({
    hasLocks: true,
    forgets: "running",
    budget: { ticks: 1, failovers: 1 },
  }),
};

/** The same, further: for `npm run test:model`. */
export const deep: Readonly<Record<string, Scenario>> = {
  "two gateways, four requests, two bodies": scenario({
    requests: ["AB", "AA"],
    mayOversleep: true,
    budget: { ticks: 3, crashes: 1, losses: 1 },
  }),
  "the store's clock steps ahead twice, and doubts are held": scenario({
    requests: ["AA", "A"],
    mayOversleep: true,
    budget: { ticks: 1, crashes: 1, jumps: 2 },
  }),
  "the store's clock steps ahead, doubts may be retried, three requests": scenario({
    inDoubt: "retry",
    requests: ["AA", "A"],
    budget: { ticks: 1, jumps: 1 },
  }),
  "two gateways, two of everything": scenario({
    requests: ["AA", "A"],
    mayOversleep: true,
    budget: { ticks: 4, crashes: 2, losses: 2 },
  }),
  "three gateways, four requests": scenario({
    requests: ["AA", "A", "A"],
    mayOversleep: true,
    budget: { ticks: 2, crashes: 1, losses: 1 },
  }),
  "an operator, crashes, lost answers": scenario({
    requests: ["AB", "AA"],
    budget: { ticks: 2, crashes: 1, decisions: 1 },
  }),
  "what is in doubt may be retried, two gateways": scenario({
    inDoubt: "retry",
    requests: ["AA", "A"],
    budget: { ticks: 3, crashes: 1, losses: 1 },
  }),
  "what is in doubt may be retried, three gateways": scenario({
    inDoubt: "retry",
    requests: ["A", "A", "A"],
    budget: { ticks: 3, crashes: 1 },
  }),
  "a failover, and replicas are waited for": scenario({
    requests: ["AA", "A"],
    waitReplicas: true,
    mayOversleep: true,
    budget: { ticks: 2, crashes: 1, losses: 1, failovers: 1 },
  }),
  "two failovers, and replicas are waited for, three gateways": scenario({
    requests: ["A", "A", "A"],
    waitReplicas: true,
    mayOversleep: true,
    budget: { ticks: 2, failovers: 2 },
  }),
  "two failovers that forget what runs, and locks": scenario({
    requests: ["AA", "A"],
    hasLocks: true,
    forgets: "running",
    budget: { ticks: 1, failovers: 2 },
  }),
  "a failover that forgets what runs, and locks, three gateways": scenario({
    requests: ["A", "A", "A"],
    hasLocks: true,
    forgets: "running",
    budget: { ticks: 1, failovers: 1 },
  }),
  "locks and replicas, and any failover": scenario({
    requests: ["AA", "A"],
    hasLocks: true,
    waitReplicas: true,
    budget: { ticks: 2, crashes: 1, failovers: 1 },
  }),
};

export interface Flawed {
  readonly scenario: Scenario;
  /** Nothing is looked for but a second dispatch. */
  readonly isDouble: boolean;
}

const doubles = (changes: Changes): Flawed => ({ scenario: scenario(changes), isDouble: true });
const breaks = (changes: Changes): Flawed => ({ scenario: scenario(changes), isDouble: false });

function without(verb: "complete" | "release" | "strand" | "withdraw"): Guards {
  return { ...all, compareToken: new Set([...all.compareToken].filter((each) => each !== verb)) };
}

const three = ["A", "A", "A"];

/** A guard is taken away: the search has to find what it was there for. */
export const mutated: Readonly<Record<string, Flawed>> = {
  "a withdrawal does not compare the token": doubles({
    requests: three,
    guards: without("withdraw"),
    budget: { losses: 1 },
  }),
  "a release does not compare the token": doubles({
    requests: three,
    inDoubt: "retry",
    guards: without("release"),
    budget: { ticks: 2 },
  }),
  "stranding does not compare the token": doubles({
    requests: three,
    inDoubt: "retry",
    // The question before the first byte would find this one out too.
    guards: { ...without("strand"), isConfirmedBeforeSending: false },
    budget: { ticks: 2 },
  }),
  "a completion goes by the key alone": breaks({
    requests: ["AA", "A"],
    inDoubt: "retry",
    guards: without("complete"),
    budget: { ticks: 2 },
  }),
  "a lease that is over leaves the key free": doubles({
    guards: { ...all, isExpiryDoubt: false },
    budget: { ticks: 2 },
  }),
  "a request that was not answered is released": doubles({
    guards: {
      ...all,
      settle: (outcome, policy, doubt) =>
        outcome.kind === "unanswered" ? { kind: "release", problem: null } : settlement(outcome, policy, doubt),
    },
  }),
  "what the second attempt is told settles the first": breaks({
    inDoubt: "retry",
    guards: { ...all, settle: (outcome, policy) => settlement(outcome, policy, null) },
    budget: { ticks: 2 },
  }),
  "where doubts are retried, the store is not asked again before a request is sent": doubles({
    inDoubt: "retry",
    guards: { ...all, isConfirmedBeforeSending: false },
    budget: { jumps: 1 },
  }),
  "a client is answered before its answer is stored": breaks({
    guards: { ...all, isStoredFirst: false },
    budget: { crashes: 1 },
  }),
  "a claim is withdrawn once, and carried out later": breaks({
    guards: { ...all, isWithdrawnForGood: false },
    budget: { losses: 1, ticks: 2 },
  }),
  "a claim is not looked at again under its lock": doubles({
    requests: ["A", "AA"],
    hasLocks: true,
    forgets: "running",
    guards: { ...all, isReadUnderLock: false },
    budget: { failovers: 1 },
  }),
  "a failover forgets a claim, without replicas and without locks": doubles({ budget: { failovers: 1 } }),
};

/** All guards in place, and yet: what `docs/guarantees.md` says is not covered. The search has to find these as well. */
export const uncovered: Readonly<Record<string, Flawed>> = {
  "with locks: a failover forgets an answer, when its lock is gone": doubles({
    hasLocks: true,
    budget: { failovers: 1 },
  }),
  "with locks: a failover forgets a claim, and its gateway dies": doubles({
    hasLocks: true,
    forgets: "running",
    budget: { ticks: 2, crashes: 1, failovers: 1 },
  }),
  "where doubts are retried: a gateway sleeps past its lease just before it sends": doubles({
    inDoubt: "retry",
    mayOversleep: true,
    budget: { ticks: 2 },
  }),
  "an operator says: not done, and then the request is sent": doubles({
    mayOversleep: true,
    budget: { ticks: 2, decisions: 1 },
  }),
};
