import { send } from "../e2e/client.js";
import { seen } from "./answer-seen.js";
import { check, forgetting, isNamedBreak, type Violation } from "./checker.js";
import { endingOf } from "./ending.js";
import { injectFaults } from "./faults.js";
import { type Asked, type Fault, type History, releaseStatuses, unknownStatuses } from "./history.js";
import { type Actor, leaseMs, type Plan, planHistory, type Try } from "./plan.js";
import { Random } from "./random.js";
import { type Rig, sleep } from "./rig.js";

export interface EpisodeOptions {
  readonly seed: number;
  /** The number of the first history; together with the seed it is the plan. */
  readonly first: number;
  /** So many of them, or as many as begin within `ms`. */
  readonly histories: number;
  readonly ms?: number | undefined;
  /** Kinds of faults, by name. */
  readonly faults: readonly string[];
}

export interface EpisodeResult {
  readonly histories: readonly History[];
  readonly faults: readonly Fault[];
  readonly violations: ReadonlyMap<History, readonly Violation[]>;
  /** Histories with a second dispatch that is known to be possible there. */
  readonly named: number;
}

/** Keys that live at the same time. */
const atOnce = 40;
const refusedPauseMs = 60;

/** Histories against the rig, under faults of some kinds; then a look at how each of them ended. */
export async function runEpisode(rig: Rig, options: EpisodeOptions): Promise<EpisodeResult> {
  const lives: { readonly plan: Plan; readonly history: History }[] = [];
  const beganMs = rig.now();
  const firstFault = rig.faults.length;
  let isOver = false;
  function* births() {
    for (let at = 0; at < options.histories && rig.now() - beganMs < (options.ms ?? Number.POSITIVE_INFINITY); at++) {
      const plan = planHistory(options.seed, options.first + at);
      const life = { plan, history: newHistory(plan, rig) };
      lives.push(life);
      yield life;
    }
  }
  try {
    rig.ledger.isCalm = false;
    const random = new Random(options.seed + options.first);
    const faults = injectFaults(rig, random, options.faults, () => isOver);
    await inTurns(atOnce, births(), ({ plan, history }) => live(rig, plan, history));
    isOver = true;
    await faults;
    await rig.whole();
    rig.usesClientLinks = false;
    rig.ledger.isCalm = true;
    // Whatever was claimed is over by now, or in doubt.
    await sleep(leaseMs + 800);
    await inTurns(12, lives.values(), async ({ history }) => {
      history.ending = await endingOf(rig, history);
    });
  } finally {
    isOver = true;
  }
  const faults = rig.faults.slice(firstFault);
  const histories = lives.map(({ history }) => withFaults(history, faults));
  const violations = new Map(
    histories.map((history) => [history, check(history)] as const).filter(([, found]) => found.length > 0),
  );
  return { histories, faults, violations, named: histories.filter(isNamedBreak).length };
}

function newHistory(plan: Plan, rig: Rig): History {
  const { key, sentKey, tenant, route } = plan;
  const history: History = {
    key,
    sentKey,
    tenant,
    route,
    store: rig.stage.kind,
    hasLocks: rig.stage.lockNodes.length > 0,
    requests: [],
    dispatches: [],
    faults: [],
    ending: undefined,
  };
  rig.ledger.open({ history, plan });
  return history;
}

/** Those that touched the key's life. One that was over shortly before may have left a lease behind; what was kept can be thrown away afterwards. */
function withFaults(history: History, faults: readonly Fault[]): History {
  const fromMs = Math.min(...history.requests.map(({ atMs }) => atMs));
  const toMs = Math.max(...history.requests.map(({ endedAtMs }) => endedAtMs));
  const endMs = history.ending?.atMs ?? toMs;
  const touches = ({ kind, fromMs: beginMs, toMs: overMs }: Fault) =>
    beginMs <= (forgetting.has(kind) ? endMs : toMs) && overMs >= fromMs - leaseMs;
  return { ...history, faults: faults.filter(touches) };
}

/** `count` of them at a time. */
async function inTurns<T>(count: number, left: IterableIterator<T>, work: (one: T) => Promise<void>): Promise<void> {
  const worker = async () => {
    for (const one of left) await work(one);
  };
  await Promise.all(Array.from({ length: count }, worker));
}

async function live(rig: Rig, plan: Plan, history: History): Promise<void> {
  await Promise.all(plan.actors.map((actor) => act(rig, actor, history)));
}

async function act(rig: Rig, actor: Actor, history: History): Promise<void> {
  await sleep(actor.startMs);
  let repeats = actor.repeats;
  for (const turn of actor.tries) {
    const asked = await ask(rig, actor, history, turn);
    history.requests.push(asked);
    if (isSettled(asked) && repeats-- === 0) return;
    await sleep(turn.pauseMs);
  }
}

/** Nothing else will come of it, as far as this client can tell. */
function isSettled({ result }: Asked): boolean {
  if (result.kind !== "answer") return false;
  if (result.code !== undefined) return ["outcome-unknown", "key-reused", "response-not-stored"].includes(result.code);
  return !releaseStatuses.has(result.status) && !unknownStatuses.has(result.status);
}

async function ask(rig: Rig, actor: Actor, history: History, turn: Try): Promise<Asked> {
  let gateway = Math.floor(turn.gateway * rig.gateways.length);
  for (;;) {
    const atMs = rig.now();
    const { reply } = send(`${rig.urlOf(gateway)}/${history.route}`, {
      key: history.sentKey,
      headers: { authorization: history.tenant },
      body: JSON.stringify({ variant: actor.variant }),
      timeoutMs: turn.patienceMs,
    });
    const result = await reply.then(seen, (error: Error) => ({ kind: "nothing" as const, why: error.message }));
    const asked = { client: actor.name, gateway, variant: actor.variant, atMs, endedAtMs: rig.now(), result };
    // Nobody is there, as a load balancer would have seen: that was no try.
    const isRefused = result.kind === "nothing" && /ECONNREFUSED/.test(result.why);
    if (!isRefused || rig.hasFailed) return asked;
    gateway = (gateway + 1) % rig.gateways.length;
    await sleep(refusedPauseMs);
  }
}
