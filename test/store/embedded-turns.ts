import { workerData } from "node:worker_threads";
import type { WriterStart } from "../../src/store/embedded/messages.js";

// The writer thread, which also counts, in milliseconds the clock is moved, how often its event loop had a turn.

const { skewMs } = workerData as WriterStart;
setInterval(() => {
  skewMs[0]! += 1;
}, 1).unref();
await import("../../src/store/embedded/writer.js");
