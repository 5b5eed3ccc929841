import type { Dispatch, Scenario, Variant, World } from "./world.js";

/** What may never be so, in whatever world. Each law answers what it found, or nothing. */
export function broken(world: World, scenario: Scenario): string | undefined {
  return (
    world.violation ?? doubtIsFree(world, scenario) ?? acknowledgedIsLost(world, scenario) ?? doubtWithoutCause(world)
  );
}

/** The violations that a step leaves in its world are found by it alone; those of other laws are passed over. */
export function dispatchedTwice({ violation }: World): string | undefined {
  return violation === sentTwice ? violation : undefined;
}

export const sentTwice = "the request reached the upstream twice";

/** The one that all the others are for: a request goes to the upstream again only where something explains it. */
export function mayDispatch({ dispatches }: World): boolean {
  return dispatches.every(({ fate, isExcused }) => fate === "released" || isExcused);
}

/** A key is won again only while nobody was promised that its answer is kept. */
export function mayWin(world: World, scenario: Scenario): boolean {
  return world.acknowledged.length === 0 || world.isDecided || hasForgotten(world, scenario);
}

/** What a client is told by a response that names its dispatch. */
export function mayTell(world: World, scenario: Scenario, number: number, variant: Variant): string | undefined {
  const dispatch = world.dispatches[number - 1];
  if (dispatch === undefined) return "a client was told of a dispatch that never was";
  if (dispatch.variant !== variant) return "a client was given the answer to another request";
  const isSuccess = dispatch.fate === "final";
  if (isSuccess && scenario.inDoubt === "hold" && !world.isDecided && world.told.some((other) => other !== number)) {
    return "clients were told of two successes";
  }
  return undefined;
}

/** Nothing that was sent is ever free, also where a doubt may be taken over: the second attempt says nothing of the first. */
function doubtIsFree(world: World, scenario: Scenario): string | undefined {
  const { record, dispatches, isDecided } = world;
  if (isDecided || hasForgotten(world, scenario)) return undefined;
  if (record !== undefined && record.state !== "free") return undefined;
  const at = dispatches.findIndex(isPerhapsDone);
  return at < 0 ? undefined : `dispatch ${at + 1} may have been carried out, and its key is free`;
}

function isPerhapsDone({ fate }: Dispatch): boolean {
  return fate !== "released";
}

/** A store that forgets keeps no promise about what it was told, only about what is sent. */
function hasForgotten({ left }: World, { budget }: Scenario): boolean {
  return left.failovers < budget.failovers;
}

function acknowledgedIsLost(world: World, scenario: Scenario): string | undefined {
  const { record, acknowledged } = world;
  if (hasForgotten(world, scenario)) return undefined;
  for (const number of acknowledged) {
    const kept = record?.completion?.kind === "response" ? numberOf(record.completion.response.body) : 0;
    if (kept !== number) return `dispatch ${number} was stored and told of, and the record does not say so`;
  }
  return undefined;
}

/** Nothing is left waiting for a decision that nobody needs to make. */
function doubtWithoutCause({ record, dispatches, troubles }: World): string | undefined {
  if (record?.state !== "in_doubt" || troubles || dispatches.some(isPerhapsDone)) return undefined;
  return "the record is in doubt, and nothing was sent and nothing went wrong";
}

export function numberOf(body: Buffer): number {
  return Number(body.toString());
}
