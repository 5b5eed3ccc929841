import { gatewaySteps, type Step } from "./gateway-steps.js";
import { broken, dispatchedTwice } from "./laws.js";
import { surroundingSteps } from "./surroundings.js";
import { digestOf, firstWorld, type Scenario, type World } from "./world.js";

export interface Found {
  /** Different worlds that were reached. */
  readonly states: number;
  readonly steps: number;
  /** The longest of the shortest ways to a world. */
  readonly depth: number;
  /** Whether nothing is left to look at. */
  readonly isWhole: boolean;
  readonly counterexample: { readonly what: string; readonly trace: readonly string[] } | undefined;
}

export interface SearchOptions {
  /** Where the search is cut off: then what is not found proves nothing, and `isWhole` says so. */
  readonly mostStates?: number;
  /** Of the laws only the first: a request reaches the upstream once. */
  readonly onlyDispatches?: boolean;
}

/** Every world that can be reached, the nearest first, so that a counterexample is a shortest one. */
export async function explore(
  scenario: Scenario,
  { mostStates = 1_000_000, onlyDispatches = false }: SearchOptions = {},
): Promise<Found> {
  const first = firstWorld(scenario);
  const seen = new Set([digestOf(first)]);
  const ways: { readonly from: number; readonly name: string; readonly depth: number }[] = [
    { from: -1, name: "", depth: 0 },
  ];
  let edge: (readonly [World, number])[] = [[first, 0]];
  let steps = 0;
  let depth = 0;
  while (edge.length > 0 && seen.size < mostStates) {
    const next: (readonly [World, number])[] = [];
    for (const [world, at] of edge) {
      for (const [name, reached] of await allSteps(world, scenario)) {
        steps += 1;
        const digest = digestOf(reached);
        const what = onlyDispatches ? dispatchedTwice(reached) : broken(reached, scenario);
        if (what === undefined && seen.has(digest)) continue;
        seen.add(digest);
        depth = ways[at]!.depth + 1;
        ways.push({ from: at, name, depth });
        const number = ways.length - 1;
        if (what !== undefined) {
          const trace: string[] = [];
          for (let back = number; back > 0; back = ways[back]!.from) trace.unshift(ways[back]!.name);
          return { states: seen.size, steps, depth, isWhole: false, counterexample: { what, trace } };
        }
        next.push([reached, number]);
      }
    }
    edge = next;
  }
  return { states: seen.size, steps, depth, isWhole: edge.length === 0, counterexample: undefined };
}

async function allSteps(world: World, scenario: Scenario): Promise<Step[]> {
  const steps = await surroundingSteps(world, scenario);
  for (const at of world.gateways.keys()) steps.push(...(await gatewaySteps(world, scenario, at)));
  return steps;
}
