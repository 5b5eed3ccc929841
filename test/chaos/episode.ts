import { send } from "../e2e/client.js";
import { seen } from "./answer-seen.js";
import { check, type Violation } from "./checker.js";
import { endingOf } from "./ending.js";
import { injectFaults } from "./faults.js";
import { type Asked, type Fault, type History, releaseStatuses, unknownStatuses } from "./history.js";
import { type Actor, leaseMs, type Plan, planHistory, type Try } from "./plan.js";
import { Random } from "./random.js";
import { Rig, type RigOptions, sleep } from "./rig.js";

export interface EpisodeOptions extends RigOptions {
  readonly seed: number;
  /** The number of the first history; together with the seed it is the plan. */
  readonly first: number;
  readonly histories: number;
}

export interface EpisodeResult {
  readonly histories: readonly History[];
  readonly faults: readonly Fault[];
  readonly violations: ReadonlyMap<History, readonly Violation[]>;
}

/** Keys that live at the same time. */
const atOnce = 24;
const refusedPauseMs = 60;

/** Some hundred histories against one set of gateways and one store, then a look at how each of them ended. */
export async function runEpisode(options: EpisodeOptions): Promise<EpisodeResult> {
  const rig = await Rig.start(options);
  // The gateways die with this process; Redis and the folder would stay behind.
  const onSignal = () => void rig.stop().finally(() => process.exit(1));
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, onSignal);
  let isOver = false;
  try {
    const plans = Array.from({ length: options.histories }, (_, at) => planHistory(options.seed, options.first + at));
    const lives = plans.map((plan) => ({ plan, history: newHistory(plan, rig) }));
    const faults = injectFaults(rig, new Random(options.seed + options.first), () => isOver);
    await inTurns(atOnce, lives, ({ plan, history }) => live(rig, plan, history));
    isOver = true;
    await faults;
    await rig.whole();
    rig.ledger.isCalm = true;
    // Whatever was claimed is over by now, or in doubt.
    await sleep(leaseMs + 800);
    await inTurns(8, lives, async ({ history }) => {
      history.ending = await endingOf(rig, history);
    });
    const histories = lives.map(({ history }) => withFaults(history, rig.faults));
    const violations = new Map(
      histories.map((history) => [history, check(history)] as const).filter(([, found]) => found.length > 0),
    );
    return { histories, faults: rig.faults, violations };
  } finally {
    isOver = true;
    for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, onSignal);
    await rig.stop();
  }
}

function newHistory(plan: Plan, rig: Rig): History {
  const { key, route } = plan;
  const history: History = {
    key,
    route,
    store: rig.options.store,
    requests: [],
    dispatches: [],
    faults: [],
    ending: undefined,
  };
  rig.ledger.open({ history, plan });
  return history;
}

/** Those that touched the key's life. One that was over shortly before may have left a lease behind. */
function withFaults(history: History, faults: readonly Fault[]): History {
  const fromMs = Math.min(...history.requests.map(({ atMs }) => atMs));
  const toMs = Math.max(...history.requests.map(({ endedAtMs }) => endedAtMs));
  return { ...history, faults: faults.filter((fault) => fault.fromMs <= toMs && fault.toMs >= fromMs - leaseMs) };
}

/** `count` of them at a time. */
async function inTurns<T>(count: number, all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = all.values();
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
    const { reply } = send(`${rig.gateways[gateway]?.url}/${history.route}`, {
      key: history.key,
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
