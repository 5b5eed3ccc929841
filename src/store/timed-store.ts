import type { EventHub } from "../events.js";
import type { RecordStore } from "./record-store.js";

/** The same store, with an event for each verb: how long it took, and whether the store failed. */
export function timedStore(store: RecordStore, hub: EventHub): RecordStore {
  const timed = <T>(operation: string, answer: Promise<T>): Promise<T> => {
    const begunMs = performance.now();
    const told = (failed: boolean) => hub.emit("store", { operation, durationMs: performance.now() - begunMs, failed });
    return answer.then(
      (value) => {
        told(false);
        return value;
      },
      (error) => {
        told(true);
        throw error;
      },
    );
  };
  return {
    withdrawAfterMs: store.withdrawAfterMs,
    claim: (request) => timed("claim", store.claim(request)),
    extend: (lease, leaseMs, openRetentionMs) => timed("extend", store.extend(lease, leaseMs, openRetentionMs)),
    complete: (lease, completion, origin) => timed("complete", store.complete(lease, completion, origin)),
    withdraw: (lease) => timed("withdraw", store.withdraw(lease)),
    release: (lease, landing) => timed("release", store.release(lease, landing)),
    strand: (lease, cause, landing, origin) => timed("strand", store.strand(lease, cause, landing, origin)),
    sweep: (limit) => timed("sweep", store.sweep(limit)),
    peek: (key, withResponse) => timed("peek", store.peek(key, withResponse)),
    list: (query) => timed("list", store.list(query)),
    census: () => timed("census", store.census()),
    forget: (key, seen) => timed("forget", store.forget(key, seen)),
    resolve: (key, resolution, seen) => timed("resolve", store.resolve(key, resolution, seen)),
    watch: (key, wake) => store.watch(key, wake),
    ping: () => timed("ping", store.ping()),
    close: () => store.close(),
  };
}
