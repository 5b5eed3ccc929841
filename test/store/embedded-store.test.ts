import t from "tap";
import { storeContract } from "./contract.js";
import { bundled, embeddedIn } from "./embedded-harness.js";

const writer = await bundled(t, "src/store/embedded/writer.ts");

// A journal of one segment never leaves it; of short ones, records move into the trees all the time.
for (const [name, segmentBytes] of Object.entries({ "in its journal": 1 << 24, "in its trees": 512 })) {
  await storeContract(t, `the embedded store, records ${name},`, async () => {
    const embedded = embeddedIn(writer);
    const store = await embedded.open({ segmentBytes });
    return {
      store,
      passTime: (ms) => {
        embedded.skewMs[0]! += ms;
      },
      another: () => embedded.open({ segmentBytes }),
      reopen: async () => {
        await store.close();
        return embedded.open({ segmentBytes });
      },
      close: () => embedded.close(),
    };
  });
}
