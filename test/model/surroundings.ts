import { finish, type Step } from "./gateway-steps.js";
import { ask, claimBy, key, type Scenario, spend, type World } from "./world.js";

/** What happens to gateways and store without their doing. */
export async function surroundingSteps(world: World, scenario: Scenario): Promise<Step[]> {
  const { left, record, replica, underWay } = world;
  const steps: Step[] = [];
  for (const claim of underWay) {
    const rest = { ...world, underWay: underWay.filter((each) => each !== claim) };
    steps.push(["a claim under way is dropped", rest]);
    const [asked] = await claimBy(rest, scenario, { ...claim, after: "" });
    steps.push(["a claim under way is carried out", asked]);
  }
  if (left.ticks > 0) {
    // Who holds a claim meanwhile may lose it, whether it has sent anything or not.
    const isBusy = world.gateways.some(({ at }) => at !== "idle" && at !== "watching");
    const later = { ...spend(world, "ticks"), tick: world.tick + 1, troubles: world.troubles || isBusy };
    steps.push(["half a lease passes", later]);
  }
  if (left.crashes > 0) {
    for (const [at, gateway] of world.gateways.entries()) {
      if (gateway.at !== "idle") steps.push([`gateway ${at + 1} dies`, crash(world, at)]);
    }
  }
  if (scenario.budget.failovers > 0 && record !== replica) {
    steps.push(["the replica catches up", { ...world, replica: record }]);
    const mayForget = scenario.forgets === "anything" || record === undefined || record.state === "in_flight";
    if (left.failovers > 0 && mayForget) {
      steps.push(["the store fails over", { ...spend(world, "failovers"), record: replica, troubles: true }]);
    }
  }
  if (left.jumps > 0) {
    steps.push(["the store's clock steps ahead", { ...spend(world, "jumps"), ahead: world.ahead + 2, troubles: true }]);
  }
  const [swept, found] = await ask(world, (store) => store.sweep(1));
  if (found.length > 0) steps.push(["a sweep finds that a lease ran out", swept]);
  if (left.decisions > 0) {
    const [asked, answer] = await ask(world, (store) => store.resolve(key, { kind: "notDone" }));
    if (answer === "resolved") {
      const dispatches = asked.dispatches.map((each) => ({ ...each, isExcused: true }));
      steps.push(["an operator says: not done", { ...spend(asked, "decisions"), dispatches, isDecided: true }]);
    }
  }
  return steps;
}

/** What it was about to do is never done. What it sent may be carried out. */
function crash(world: World, at: number): World {
  const { dispatch } = world.gateways[at]!;
  const dispatches = world.dispatches.map((each, index) =>
    index === dispatch - 1 && each.fate === "running" ? ({ ...each, fate: "lost" } as const) : each,
  );
  return finish({ ...spend(world, "crashes"), dispatches, troubles: true }, at);
}
