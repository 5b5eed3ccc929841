import fc from "fast-check";
import type { Test } from "tap";
import type { DoubtCause, Lease, RecordKey } from "../../src/model.js";
import type { RecordStore } from "../../src/store/record-store.js";
import { runs } from "../property-runs.js";
import type { OpenStore } from "./contract.js";
import {
  ageless,
  answer,
  asking,
  flightOf,
  hour,
  landed,
  mine,
  minute,
  newKey,
  origin,
  other,
  refusal,
  responseOf,
} from "./contract-material.js";
import { MemoryStore } from "./memory-store.js";

/**
 * Random histories on two keys and three owners, step by step compared with the reference store.
 *
 * Time passes in whole hours, while every duration is some hours and a quarter: no sum of four of them ends on an hour,
 * so a slow machine's real seconds never decide whether something is over.
 */
export async function modelContract(t: Test, open: OpenStore): Promise<void> {
  await t.test("any history goes as it does on the reference store", async (t) => {
    const under = await open();
    t.teardown(() => under.close());
    const history = fc.array(step, { minLength: 1, maxLength: 60, size: "max" });
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const reference = new MemoryStore();
        const keys = [newKey(), newKey()];
        for (const [index, step] of steps.entries()) {
          const wanted = await take(step, reference, keys, (ms) => reference.passTime(ms));
          const found = await take(step, under.store, keys, (ms) => under.passTime(ms));
          const place = `step ${index}, ${JSON.stringify(step)}`;
          same(found, wanted, place);
          for (const key of keys) {
            same(ageless(await under.store.peek(key, true)), ageless(await reference.peek(key, true)), place);
          }
        }
      }),
      runs(20, 200, 200_000),
    );
    t.pass("no difference was found");
  });
}

const quarter = 15 * minute;
const durations = {
  leaseMs: hour + quarter,
  retentionMs: 3 * hour + quarter,
  openRetentionMs: 5 * hour + quarter,
  landingMs: 2 * hour + quarter,
};
const tokens = ["a1", "b2", "c3"].map((pair) => pair.repeat(16));

const key = fc.nat(3).map((n) => (n === 0 ? 1 : 0));
const who = { key, owner: fc.nat(tokens.length - 1) };
const causes: DoubtCause[] = ["reset", "timeout", "status", "lock_lost"];

type Step =
  | { verb: "claim"; key: number; owner: number; mayTake: boolean; isOther: boolean; after: number | null }
  | {
      verb: "extend" | "complete" | "notReplayable" | "release" | "releaseQuietly" | "withdraw";
      key: number;
      owner: number;
    }
  | { verb: "strand"; key: number; owner: number; cause: DoubtCause; isLanded: boolean }
  | { verb: "forget" | "resolveDone" | "resolveNotDone"; key: number }
  | { verb: "passTime"; hours: number }
  | { verb: "sweep" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      verb: fc.constant("claim" as const),
      ...who,
      mayTake: fc.boolean(),
      isOther: fc.nat(5).map((n) => n === 0),
      after: fc.option(fc.nat(tokens.length - 1)),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      verb: fc.constantFrom("extend", "complete", "notReplayable", "release", "releaseQuietly", "withdraw"),
      ...who,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      verb: fc.constant("strand" as const),
      ...who,
      cause: fc.constantFrom(...causes),
      isLanded: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ verb: fc.constantFrom("forget", "resolveDone", "resolveNotDone"), key: who.key }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ verb: fc.constant("passTime" as const), hours: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant("sweep" as const) }) },
);

async function take(
  step: Step,
  store: RecordStore,
  keys: readonly RecordKey[],
  passTime: (ms: number) => Promise<void> | void,
): Promise<unknown> {
  if (step.verb === "passTime") return passTime(step.hours * hour);
  if (step.verb === "sweep") {
    // A history before this one may have left leases behind.
    const swept = await store.sweep(1000);
    return swept.filter(({ key }) => keys.includes(key)).sort((a, b) => keys.indexOf(a.key) - keys.indexOf(b.key));
  }
  const key = keys[step.key]!;
  if (!("owner" in step)) return decide(step.verb, store, key);
  const lease: Lease = { key, token: tokens[step.owner]! };
  const { retentionMs, openRetentionMs } = durations;
  const from = { ...origin, retentionMs, openRetentionMs };
  switch (step.verb) {
    case "claim": {
      const { mayTake, isOther, after } = step;
      const fingerprint = isOther ? other : mine;
      const afterFlight = after === null ? undefined : flightOf({ key, token: tokens[after]! });
      return store.claim(asking(lease, { ...durations, mayTake, fingerprint, after: afterFlight }));
    }
    case "extend":
      return store.extend(lease, durations.leaseMs, openRetentionMs);
    case "complete":
      return store.complete(lease, answer(`by ${step.owner}`), from);
    case "notReplayable":
      return store.complete(lease, { kind: "notReplayable", status: 200, headers: ["A", "b"] }, from);
    case "release":
      return store.release(lease, { landing: refusal, landingMs: durations.landingMs });
    case "releaseQuietly":
      return store.release(lease);
    case "withdraw":
      return store.withdraw(lease);
    case "strand":
      return store.strand(lease, step.cause, step.isLanded ? landed("bad gateway", 502) : undefined, from);
  }
}

function decide(verb: "forget" | "resolveDone" | "resolveNotDone", store: RecordStore, key: RecordKey) {
  if (verb === "forget") return store.forget(key);
  if (verb === "resolveNotDone") return store.resolve(key, { kind: "notDone" });
  const { retentionMs } = durations;
  return store.resolve(key, { kind: "done", response: responseOf("by hand"), retentionMs });
}

/** Durations may differ by what really passed meanwhile, and not every store has the octets at hand; everything else is equal. */
function same(found: unknown, wanted: unknown, place: string): void {
  const [a, b] = [plain(found), plain(wanted)];
  if (a.text !== b.text) throw new Error(`${place}: found ${a.text}, the reference says ${b.text}`);
  for (const [name, ms] of b.durations) {
    if (Math.abs(a.durations.get(name)! - ms) > 5 * minute) {
      throw new Error(`${place}: ${name} is ${a.durations.get(name)}, the reference says ${ms}`);
    }
  }
}

function plain(value: unknown): { text: string; durations: Map<string, number> } {
  const durations = new Map<string, number>();
  const text = JSON.stringify(value, (name, part) => {
    if (name === "blob") return undefined;
    if (!name.endsWith("Ms")) return part && typeof part === "object" && !Array.isArray(part) ? sorted(part) : part;
    durations.set(name, part as number);
    return undefined;
  });
  return { text: text ?? "undefined", durations };
}

function sorted(object: object): object {
  return Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));
}
