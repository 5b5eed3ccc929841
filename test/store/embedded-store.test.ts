import t from "tap";
import { storeContract } from "./contract.js";
import { bundled, embeddedIn } from "./embedded-harness.js";

const thread = await bundled(t, "src/store/sqlite/thread-main.ts");

await storeContract(t, "the embedded store", async () => {
  const embedded = embeddedIn(thread);
  const store = await embedded.open();
  return {
    store,
    passTime: (ms) => {
      embedded.skewMs[0]! += ms;
    },
    another: () => embedded.open(),
    reopen: async () => {
      await store.close();
      return embedded.open();
    },
    close: () => embedded.close(),
  };
});
