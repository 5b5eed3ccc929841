#!/usr/bin/env node
// Shows on the terminal what the gateway does: real processes, real requests, and the ledger of an API that was never
// changed. Exit code 0 only if everything came out as it must. Needs `npm run build` before (`npm run demo` does that).

import { cutOff, duplicates, hangUp, Judge, keyReused, killed, withoutGateway } from "./demo/scenes.mjs";
import { ending, title } from "./demo/screen.mjs";
import { Stage } from "./demo/stage.mjs";

const began = performance.now();
const stage = new Stage();
try {
  await stage.open();
  title("idempotency-gateway: unsafe HTTP requests, safe to retry", [
    `An API that knows nothing of idempotency (examples/ledger-api.mjs): ${stage.ledgerUrl}.`,
    `The gateway before it, embedded store, lease 2 s: ${stage.url}.`,
  ]);
  const judge = new Judge(stage);
  for (const play of [withoutGateway, duplicates, hangUp, cutOff, keyReused, killed]) await play(judge);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const isGood = judge.failures === 0;
  const verdict = isGood
    ? `All ${judge.checks} expectations held, in ${seconds} s.`
    : `${judge.failures} of ${judge.checks} expectations did not hold; they are marked ✗ above.`;
  ending(verdict, isGood);
  if (!isGood) process.exitCode = 1;
} catch (error) {
  ending(`The demo could not go on: ${error.message}`, false);
  process.exitCode = 1;
} finally {
  await stage.close();
}
