import t from "tap";
import { storeContract } from "./contract.js";
import { MemoryStore } from "./memory-store.js";

await storeContract(t, "the reference store", async () => {
  const store = new MemoryStore();
  return { store, passTime: (ms) => store.passTime(ms), close: () => store.close() };
});
