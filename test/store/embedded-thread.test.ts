import { setTimeout as pause } from "node:timers/promises";
import t from "tap";
import { asking, leaseOn, newKey } from "./contract-material.js";
import { bundled, embeddedIn } from "./embedded-harness.js";

const writer = await bundled(t, "test/store/embedded-turns.ts");
const patienceMs = 30_000;

// What ends a cursor of LMDB waits for such a turn: without one, each of them stays for as long as the process.
t.test("the writer's event loop has its turns, whether the store is idle or busy", async (t) => {
  const endsAtMs = performance.now() + patienceMs;
  const turns = async (isBusy: boolean) => {
    const embedded = embeddedIn(writer);
    const store = await embedded.open();
    while (embedded.skewMs[0] === 0 && performance.now() < endsAtMs) {
      if (isBusy) await Promise.all(Array.from({ length: 20 }, () => store.claim(asking(leaseOn(newKey())))));
      else await pause(20);
    }
    await embedded.close();
    return embedded.skewMs[0]!;
  };
  const [idle, busy] = await Promise.all([turns(false), turns(true)]);
  t.ok(idle > 0, "idle");
  t.ok(busy > 0, "busy");
});
