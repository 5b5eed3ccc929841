import type { Test } from "tap";
import type { RecordStore } from "../../src/store/record-store.js";
import { claimContract, responseContract } from "./contract-claims.js";
import { doubtContract, releaseContract } from "./contract-endings.js";
import { modelContract } from "./contract-model.js";
import { operatorContract } from "./contract-operator.js";
import { ownerContract } from "./contract-owners.js";
import { holdingContract, otherProcessContract, sweepContract, timeContract } from "./contract-time.js";

/** One store, opened on data of its own, and how to move its time. */
export interface StoreUnderTest {
  readonly store: RecordStore;
  /** Everything stored becomes this much older. */
  passTime(ms: number): Promise<void> | void;
  /** A second store on the same data, as another process has it. The harness closes it with `close`. */
  another?(): Promise<RecordStore>;
  /** Closes the store and opens the same data again, for stores that outlive their process. */
  reopen?(): Promise<RecordStore>;
  close(): Promise<void>;
}

export type OpenStore = () => Promise<StoreUnderTest>;

export type StoreTest = (t: Test, under: StoreUnderTest, store: RecordStore) => Promise<unknown>;
export type Each = (title: string, run: StoreTest) => Promise<unknown>;

/** The one suite: whatever claims to be a `RecordStore` passes it. */
export function storeContract(t: Test, name: string, open: OpenStore): Promise<unknown> {
  return Promise.resolve(
    t.test(`${name} keeps the contract`, async (t) => {
      const each = (title: string, run: StoreTest) => withStore(t, title, open, run);
      await claimContract(each);
      await responseContract(each);
      await releaseContract(each);
      await doubtContract(each);
      await ownerContract(each);
      await timeContract(each);
      await holdingContract(each);
      await sweepContract(each);
      await otherProcessContract(each);
      await operatorContract(each);
      await modelContract(t, open);
    }),
  );
}

function withStore(t: Test, title: string, open: OpenStore, run: StoreTest): Promise<unknown> {
  return Promise.resolve(
    t.test(title, async (t) => {
      const under = await open();
      t.teardown(() => under.close());
      await run(t, under, under.store);
    }),
  );
}
