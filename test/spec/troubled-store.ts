import { type RecordStore, StoreUnavailableError } from "../../src/store/record-store.js";

type Verb = "claim" | "extend" | "complete" | "release" | "strand" | "withdraw";

/** What is to go wrong from now on; an empty object: nothing. */
export interface Trouble {
  /** These verbs fail, as if the store could not be reached. */
  down?: ReadonlySet<Verb>;
  /** These verbs are carried out, but their answer is lost. */
  deaf?: ReadonlySet<Verb>;
  /** Awaited before a verb is carried out. */
  before?: ((verb: Verb) => Promise<void> | undefined) | undefined;
  /** Told of each verb that was asked for. */
  asked?: ((verb: Verb) => void) | undefined;
  /** These verbs are carried out twice, as a client that resends after a reconnect does it; the second answer counts. */
  twice?: ReadonlySet<Verb>;
}

const verbs: readonly Verb[] = ["claim", "extend", "complete", "release", "strand", "withdraw"];

/** The same store, as seen over a network that the test has in its hand. */
export function troubled(store: RecordStore, trouble: Trouble): RecordStore {
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== "function") return value;
      const verb = name as Verb;
      if (!verbs.includes(verb)) return value.bind(target);
      return async (...args: unknown[]) => {
        trouble.asked?.(verb);
        await trouble.before?.(verb);
        if (trouble.down?.has(verb)) throw new StoreUnavailableError(verb, false);
        if (trouble.twice?.has(verb)) await value.apply(target, args);
        const answer = await value.apply(target, args);
        if (trouble.deaf?.has(verb)) throw new StoreUnavailableError(verb, true);
        return answer;
      };
    },
  });
}
