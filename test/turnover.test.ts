import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import t from "tap";
import { TurnoverMap, TurnoverSet } from "../src/turnover.js";
import { runs } from "./property-runs.js";

t.test("a map as any other, however much has come and gone", (t) => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 40 })), { maxLength: 2000, size: "max" });
  fc.assert(
    fc.property(steps, (steps) => {
      const [map, reference] = [new TurnoverMap<number, number>(), new Map<number, number>()];
      const [set, order] = [new TurnoverSet<number>(), new Set<number>()];
      for (const [index, [isAdded, key]] of steps.entries()) {
        if (isAdded) {
          map.set(key, index);
          reference.set(key, index);
          set.add(key);
          order.add(key);
        } else {
          if (map.delete(key) !== reference.delete(key) || set.delete(key) !== order.delete(key)) return false;
        }
        if (map.get(key) !== reference.get(key) || set.has(key) !== order.has(key)) return false;
        if (map.size !== reference.size || set.first() !== order.values().next().value) return false;
      }
      return String([...map]) === String([...reference]) && String([...set]) === String([...order]);
    }),
    runs(50, 500),
  );
  t.end();
});

t.test("what has gone is no burden, even after a full collection: it does not become old", async (t) => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const map = new TurnoverMap<number, unknown>();
  const churn = async (from: number, count: number) => {
    for (let index = from; index < from + count; index++) {
      map.set(index, new Array(128).fill(index + 0.5));
      map.delete(index - 20);
      if (index % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await churn(0, 5_000);
  collect();
  const before = oldBytes();
  await churn(5_000, 50_000);
  const grownBytes = oldBytes() - before;
  t.ok(grownBytes < 5_000_000, `${grownBytes} of some 55,000,000 bytes became old`);
});

function oldBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === "old_space")?.space_used_size ?? 0;
}
