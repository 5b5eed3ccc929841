import type { Claim, Lease, RecordKey } from "../model.js";
import type { Trace } from "../trace.js";
import type { RecordStore } from "./record-store.js";

/** Whose claim a lease comes from. */
interface Owner {
  readonly trace: Trace;
  /** An ending is tried again and again while the store is away: its first failure is told, then only its success. */
  hasFailed: boolean;
}

/**
 * The same store, with the claim and the end of each execution told to its trace. Renewals, withdrawals and what
 * operators do belong to no request, and are not told.
 */
export function tracedStore(store: RecordStore): RecordStore {
  const owners = new WeakMap<Lease, Owner>();
  const ending = <T extends string>(lease: Lease, verb: string, end: () => Promise<T>): Promise<T> => {
    const owner = owners.get(lease);
    if (owner === undefined) return end();
    const told = owner.trace.ask(verb);
    return end().then(
      (answer) => {
        told(answer, false);
        return answer;
      },
      (error: unknown) => {
        if (!owner.hasFailed) told(nameOf(error), true);
        owner.hasFailed = true;
        throw error;
      },
    );
  };
  const claim: RecordStore["claim"] = (request) => {
    const { trace, lease } = request;
    if (trace === undefined) return store.claim(request);
    const told = trace.ask("claim");
    return store.claim(request).then(
      (answer: Claim) => {
        if (answer.kind === "won") owners.set(lease, { trace, hasFailed: false });
        told(answer.kind, false);
        return answer;
      },
      (error: unknown) => {
        told(nameOf(error), true);
        throw error;
      },
    );
  };
  return {
    ...(store.recall && { recall: (key: RecordKey) => store.recall?.(key) }),
    withdrawAfterMs: store.withdrawAfterMs,
    claim,
    extend: (lease, leaseMs, openRetentionMs) => store.extend(lease, leaseMs, openRetentionMs),
    complete: (lease, completion, origin) => ending(lease, "complete", () => store.complete(lease, completion, origin)),
    withdraw: (lease) => store.withdraw(lease),
    release: (lease, landing) => ending(lease, "release", () => store.release(lease, landing)),
    strand: (lease, cause, landing, origin) =>
      ending(lease, "strand", () => store.strand(lease, cause, landing, origin)),
    sweep: (limit) => store.sweep(limit),
    peek: (key, withResponse) => store.peek(key, withResponse),
    list: (query) => store.list(query),
    census: () => store.census(),
    forget: (key, seen) => store.forget(key, seen),
    resolve: (key, resolution, seen) => store.resolve(key, resolution, seen),
    watch: (key, wake) => store.watch(key, wake),
    ping: () => store.ping(),
    close: () => store.close(),
  };
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "Error";
}
