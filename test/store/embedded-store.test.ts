import t from "tap";
import { storeContract } from "./contract.js";
import { bundled, embeddedIn } from "./embedded-harness.js";

const writer = await bundled(t, "src/store/embedded/writer.ts");

await storeContract(t, "the embedded store", async () => {
  const embedded = embeddedIn(writer);
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
