import t from "tap";
import { explore } from "./explore.js";
import { mutated, sound, uncovered } from "./scenarios.js";

// Every order in which two or three gateways, a store and an upstream can do what they do, within bounds of how often
// something goes wrong. `npm run test:model` goes further.

t.test("no order of events runs a request twice, or loses an answer that was acknowledged", async (t) => {
  for (const [name, scenario] of Object.entries(sound)) {
    const found = await explore(scenario);
    t.comment(`${name}: ${found.states} states, ${found.steps} steps, ${found.depth} deep`);
    t.same(found.counterexample, undefined, name);
    t.ok(found.isWhole, `${name}: nothing is left out`);
  }
});

t.test("with a guard taken away, the search finds what it was there for", async (t) => {
  for (const [name, { scenario, isDouble }] of Object.entries(mutated)) {
    const { counterexample, states } = await explore(scenario, { onlyDispatches: isDouble });
    t.comment(`${name}: ${counterexample?.what} after ${counterexample?.trace.length} steps, ${states} states`);
    t.ok(counterexample, name);
    if (isDouble) t.equal(counterexample?.what, "the request reached the upstream twice", name);
  }
});

t.test("it finds what the guards are known not to cover", async (t) => {
  for (const [name, { scenario, isDouble }] of Object.entries(uncovered)) {
    const { counterexample } = await explore(scenario, { onlyDispatches: isDouble });
    t.ok(counterexample, name);
  }
});
