import {
  type AnswerSeen,
  type Dispatch,
  type EndState,
  type Fault,
  type History,
  releaseStatuses,
  unknownStatuses,
  type Variant,
} from "./history.js";

import { leaseMs } from "./plan.js";

export interface Violation {
  readonly rule: string;
  readonly what: string;
}

type Rule = (history: History) => string[];

/** Every promise of the gateway that one key's life can break. Each rule tells what it found, nothing where all is well. */
const rules: Readonly<Record<string, Rule>> = {
  "at most one dispatch": atMostOneDispatch,
  "a stored answer is final": storedAnswerIsFinal,
  "answers are the execution's": answersAreTheExecutions,
  "no answer crosses a scope": staysInItsScope,
  "one result for a key": oneResult,
  "one client executes": oneClientExecutes,
  "only answers that can be": onlyPossibleProblems,
  "nothing stays in flight": nothingStaysInFlight,
  "a doubt is kept": doubtIsKept,
  "a doubt has a cause": doubtHasCause,
  "a release frees the key": releaseFrees,
  "a second attempt frees no doubt": secondAttemptFreesNothing,
  "what was acknowledged is kept": acknowledgedIsKept,
  "the end is what the record says": endIsWhatTheRecordSays,
};

export function check(history: History): Violation[] {
  const found = broken(history);
  if (flushesOf(history).length === 0) return found;
  const overlaps = runsAtOnce(history).map((what) => ({ rule: "never two at once", what }));
  return [...overlaps, ...found.filter(({ rule }) => !forgivenWhenFlushed.has(rule))];
}

/** Whether a second dispatch was seen that only a record thrown away explains: the break that locks do not close. */
export function isNamedBreak(history: History): boolean {
  return flushesOf(history).length > 0 && broken(history).some(({ rule }) => rule === "at most one dispatch");
}

function broken(history: History): Violation[] {
  return Object.entries(rules).flatMap(([rule, find]) => find(history).map((what) => ({ rule, what })));
}

/** Faults that make a store forget what it has acknowledged, even the claims. */
export const forgetting: ReadonlySet<string> = new Set(["redis FLUSHALL", "redis failover, and two primaries"]);

/** What a store cannot keep that was emptied. What is left is what the locks are for. */
const forgivenWhenFlushed: ReadonlySet<string> = new Set([
  "at most one dispatch",
  "a stored answer is final",
  "one result for a key",
  "a doubt is kept",
  "what was acknowledged is kept",
]);

function flushesOf({ faults }: History): readonly Fault[] {
  return faults.filter(({ kind }) => forgetting.has(kind));
}

/** A gateway that cannot run cannot renew its lock: a lock is good for as long as nobody sleeps past it. */
function hasSlept({ faults }: History, earlier: Dispatch, later: Dispatch): boolean {
  return faults.some(
    ({ kind, fromMs, toMs }) =>
      /^(SIGSTOP|machine)/.test(kind) && toMs - fromMs > leaseMs / 2 && fromMs <= later.atMs && toMs >= earlier.atMs,
  );
}

/** Where locks outlive the store: nothing is sent while an earlier dispatch is under way, whatever was forgotten. */
function runsAtOnce(history: History): string[] {
  if (!history.hasLocks) return [];
  return pairs(history)
    .filter(([earlier, later]) => earlier.endedAtMs === null || earlier.endedAtMs > later.atMs)
    .filter(([earlier, later]) => !mayFollow(history, earlier, later) && !hasSlept(history, earlier, later))
    .map(([earlier, later]) => `dispatch ${later.n} was sent while dispatch ${earlier.n} was under way`);
}

/** What the journal alone knows about how a dispatch ended. */
type Fate = "released" | "final" | "unknown";

function fateOf(dispatch: Dispatch): Fate {
  if (dispatch.answeredAtMs === null || unknownStatuses.has(dispatch.status)) return "unknown";
  return releaseStatuses.has(dispatch.status) ? "released" : "final";
}

function pairs(history: History): [earlier: Dispatch, later: Dispatch][] {
  return history.dispatches.slice(1).map((later, at) => [history.dispatches[at] as Dispatch, later]);
}

function atMostOneDispatch(history: History): string[] {
  return pairs(history)
    .filter(([earlier, later]) => !mayFollow(history, earlier, later))
    .map(
      ([earlier, later]) =>
        `dispatch ${later.n} reached the upstream after dispatch ${earlier.n} (${earlier.behaviour}), and nothing allows it`,
    );
}

function mayFollow(history: History, earlier: Dispatch, later: Dispatch): boolean {
  const isAnswered = earlier.answeredAtMs !== null && earlier.answeredAtMs <= later.atMs;
  if (isAnswered && fateOf(earlier) === "released") return true;
  if (history.route === "retry") return true;
  if (history.route === "probe" && !earlier.isExecuted) return true;
  const resolved = history.ending?.resolved;
  return resolved?.outcome === "not-done" && resolved.atMs <= later.atMs;
}

/**
 * An `Age` says that the record was completed: from then on nothing is sent, on whatever route. Only claims wait for
 * replicas: a failover may take a record back to where it was claimed, and then it is in doubt, whatever that means there.
 */
function storedAnswerIsFinal(history: History): string[] {
  const found: string[] = [];
  if (history.route === "retry" && history.faults.some(({ kind }) => kind === "redis failover")) return found;
  for (const { result, endedAtMs, client } of history.requests) {
    if (result.kind !== "answer" || !result.hasAge || result.dispatch === null) continue;
    for (const { n, atMs } of history.dispatches) {
      if (atMs > endedAtMs)
        found.push(`${client} was replayed dispatch ${result.dispatch}, and dispatch ${n} came later`);
    }
  }
  return found;
}

interface Told {
  readonly from: string;
  readonly answer: AnswerSeen;
  /** The body that was sent with it, where that matters. */
  readonly variant: Variant | undefined;
}

function answersOf(history: History): Told[] {
  const told = history.requests.flatMap(({ client, result, variant }): Told[] =>
    result.kind === "answer" ? [{ from: client, answer: result, variant }] : [],
  );
  const { retry, resolved } = history.ending ?? {};
  if (retry !== undefined) told.push({ from: "the last request", answer: retry, variant: undefined });
  if (resolved?.retry !== undefined) {
    told.push({ from: "the request after the decision", answer: resolved.retry, variant: undefined });
  }
  return told;
}

function answersAreTheExecutions(history: History): string[] {
  const found: string[] = [];
  for (const { from, answer, variant } of answersOf(history)) {
    if (answer.code !== undefined) continue;
    const dispatch = history.dispatches.find(({ n }) => n === answer.dispatch);
    if (dispatch === undefined) found.push(`${from} got ${answer.status}, which no dispatch answered`);
    else if (dispatch.status !== answer.status) found.push(`${from} got ${answer.status}, not ${dispatch.status}`);
    else if (dispatch.body !== answer.body) found.push(`${from} got other bytes than dispatch ${dispatch.n} answered`);
    else if (variant !== undefined && variant !== dispatch.variant && !mayBeProbed(history, answer))
      found.push(`${from} got the answer to another body`);
  }
  return found;
}

/** The upstream is asked by the key alone: where the store forgot the first body, it is told what became of that one. */
function mayBeProbed(history: History, { isReplayed }: AnswerSeen): boolean {
  return isReplayed && history.route === "probe" && flushesOf(history).length > 0;
}

/** Every answer names the history it belongs to, and a neighbour may have used the same key. */
function staysInItsScope(history: History): string[] {
  return answersOf(history).flatMap(({ from, answer }) => {
    const owner = answer.code === undefined ? /"key":"([^"]+)"/.exec(answer.body)?.[1] : undefined;
    return owner === undefined || owner === history.key ? [] : [`${from} got the answer of ${owner}`];
  });
}

/** Where nothing broke and everything was answered, nobody has to decide anything. */
function doubtHasCause({ ending, faults, dispatches }: History): string[] {
  if (ending?.state !== "in_doubt") return [];
  if (ending.cause === null) return ["the record is in doubt and does not say why"];
  const isExplained = faults.length > 0 || dispatches.some((dispatch) => fateOf(dispatch) === "unknown");
  return isExplained ? [] : [`the record is in doubt (${ending.cause}), and nothing went wrong`];
}

/** Where nothing is run again, everybody who was told of success was told of the same one. */
function oneResult(history: History): string[] {
  if (history.route === "retry") return [];
  const results = answersOf(history).filter(({ answer }) => answer.code === undefined && answer.status < 300);
  const told = new Set(results.map(({ answer }) => answer.dispatch));
  return told.size > 1 ? [`clients were told of success by dispatches ${[...told].join(" and ")}`] : [];
}

function oneClientExecutes(history: History): string[] {
  return history.dispatches.flatMap(({ n }) => {
    const own = answersOf(history).filter(({ answer }) => answer.dispatch === n && !answer.isReplayed);
    return own.length > 1
      ? [`${own.length} clients got dispatch ${n} as their own: ${own.map(({ from }) => from).join(", ")}`]
      : [];
  });
}

/** Redis was away, or seemed so to a gateway that could not run: its commands have a time limit. */
function mayLoseStore({ store, faults }: History): boolean {
  return store === "redis" && faults.some(({ kind }) => /^(redis|locks|SIGSTOP|machine)/.test(kind));
}

function onlyPossibleProblems(history: History): string[] {
  const { requests, dispatches } = history;
  const possible = new Set([
    "in-progress",
    "outcome-unknown",
    "upstream-reset",
    "upstream-timeout",
    "upstream-unreachable",
  ]);
  if (new Set(requests.map(({ variant }) => variant)).size > 1) possible.add("key-reused");
  if (dispatches.some(({ behaviour }) => behaviour === "large")) possible.add("response-not-stored");
  if (mayLoseStore(history)) possible.add("store-unavailable");
  return answersOf(history)
    .filter(({ answer }) => answer.code !== undefined && !possible.has(answer.code))
    .map(({ from, answer }) => `${from} got ${answer.status} ${answer.code}, and nothing that happened leads to it`);
}

function nothingStaysInFlight(history: History): string[] {
  if (history.ending === undefined) return ["nobody looked how it ended"];
  return history.ending.state === "in_flight" ? ["the record is in flight past its lease"] : [];
}

/** The last dispatch before the end was looked at. */
function lastDispatch(history: History): Dispatch | undefined {
  return history.dispatches[(history.ending?.dispatches ?? 0) - 1];
}

function doubtIsKept(history: History): string[] {
  const last = lastDispatch(history);
  if (history.ending === undefined || last === undefined || fateOf(last) !== "unknown") return [];
  const { state } = history.ending;
  if (state === "in_doubt" || state === "in_flight") return [];
  if (state === "completed" && history.route === "probe" && last.isExecuted) return [];
  return [`the outcome of dispatch ${last.n} (${last.behaviour}) is unknown, but the record is ${state}`];
}

function releaseFrees(history: History): string[] {
  const last = lastDispatch(history);
  const state = history.ending?.state;
  if (last === undefined || fateOf(last) !== "released") return [];
  return state === "completed" || state === "not_replayable"
    ? [`dispatch ${last.n} answered ${last.status}, which means not done, but the record is ${state}`]
    : [];
}

/** Where doubts are taken over: what is said of a later attempt says nothing of the one whose outcome is unknown. */
function secondAttemptFreesNothing(history: History): string[] {
  const last = lastDispatch(history);
  if (history.route !== "retry" || last === undefined || mayLoseStore(history)) return [];
  if (fateOf(last) !== "released" || history.ending?.state !== "absent") return [];
  const doubted = history.dispatches.find((dispatch) => dispatch.n < last.n && fateOf(dispatch) === "unknown");
  return doubted === undefined
    ? []
    : [`dispatch ${last.n} was refused, and with it the doubt about dispatch ${doubted.n} is gone`];
}

function acknowledgedIsKept(history: History): string[] {
  const last = lastDispatch(history);
  if (history.ending === undefined || last === undefined || fateOf(last) !== "final") return [];
  const { state } = history.ending;
  const kept = last.behaviour === "large" ? "not_replayable" : "completed";
  if (state === kept || state === "in_flight") return [];
  const isAcknowledged = history.requests.some(({ result }) => result.kind === "answer" && result.dispatch === last.n);
  // Elsewhere a successor may have taken the record over before its late owner could write.
  const mayBeDoubted = !isAcknowledged || mayLoseStore(history) || history.route !== "hold";
  if (state === "in_doubt" && mayBeDoubted) return [];
  const by = isAcknowledged ? "was passed on to a client" : "was answered";
  return [`dispatch ${last.n} ${by}, but the record is ${state}, not ${kept}`];
}

/** What the request gets that is sent when everything is whole again. */
function endIsWhatTheRecordSays(history: History): string[] {
  const { ending, route } = history;
  if (ending === undefined || ending.state === "in_flight") return [];
  const found: string[] = [];
  const { retry, resolved, state } = ending;
  const told = retry === undefined ? "nothing" : (retry.code ?? (retry.isReplayed ? "replayed" : "executed"));
  const wanted: Record<Exclude<EndState, "in_flight">, string[]> = {
    absent: ["executed"],
    completed: ["replayed"],
    not_replayable: ["response-not-stored"],
    in_doubt:
      route === "hold"
        ? ["outcome-unknown"]
        : route === "retry"
          ? ["executed"]
          : ["executed", "replayed", "outcome-unknown"],
  };
  if (!wanted[state].includes(told)) found.push(`the record was ${state}, but the last request was told: ${told}`);
  if (resolved !== undefined) {
    const after = resolved.retry;
    const isRight = resolved.outcome === "done" ? after?.isReplayed === true : after?.isReplayed === false;
    if (after?.code !== undefined || !isRight)
      found.push(`resolved as ${resolved.outcome}, but the request after it was told: ${after?.code ?? after?.status}`);
  }
  return found;
}
