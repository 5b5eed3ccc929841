#!/usr/bin/env node
// npm run bench:guard: does a request still cost about what it did, next to bare http-proxy in the same run? Needs
// `npm run build`. Short and for CI: noise must not fail it, a doubling must. `npm run bench` is for knowing how much.
import { measure, median } from "./measure.mjs";
import { openPeers } from "./peers.mjs";
import { endAll } from "./process.mjs";
import { clearFolders } from "./stage.mjs";

/**
 * CPU of a request, in that of bare http-proxy: what is usual. Full runs on a shared machine of two cores gave 0.66 to
 * 1.05, 0.25 to 0.39 and 0.67 to 1.22. It fails beyond `margin` times what is usual.
 */
const usual = { "first, redis": 0.85, "replay, redis": 0.36, unprotected: 0.95 };
const margin = 2;

const rounds = 5;
const requests = 1500;
/** In requests and not in time: on a busy machine a few seconds would leave the code cold. */
const warmupRequests = 8000;
const warmupSeconds = 8;
/** Rounds that were begun are finished; none is begun after this, so that a starved machine does not hold up CI. */
const patienceMs = 60_000;

let passed = 0;
let failed = 0;
const check = (isRight, text) => {
  if (isRight) passed++;
  else failed++;
  console.log(`${isRight ? "ok     " : "NOT OK "} ${text}`);
};

try {
  const { peers } = await openPeers(["http-proxy", ...Object.keys(usual)]);
  const begunMs = performance.now();
  for (const peer of peers) await measure(peer, warmupRequests, { seconds: warmupSeconds });
  const turns = new Map(peers.map(({ name }) => [name, []]));
  let done = 0;
  for (; done < rounds && (done < 2 || performance.now() - begunMs < patienceMs); done++) {
    for (const peer of done % 2 === 0 ? peers : peers.toReversed()) {
      turns.get(peer.name).push(await measure(peer, requests, { seconds: 10 }));
    }
  }
  const cpu = (name) => turns.get(name).map((turn) => turn.cpuMicros);
  console.log(`http-proxy: ${median(cpu("http-proxy")).toFixed(0)} µs, ${done} rounds`);
  for (const [name, ratio] of Object.entries(usual)) {
    // The least that each needed: whoever else uses the machine only ever adds to it.
    const now = Math.min(...cpu(name)) / Math.min(...cpu("http-proxy"));
    const shown = `${name}: ${now.toFixed(2)} × http-proxy (usual ${ratio}, at most ${(ratio * margin).toFixed(2)})`;
    check(now <= ratio * margin, `${shown}; medians ${(median(cpu(name)) / median(cpu("http-proxy"))).toFixed(2)}`);
  }
  for (const { name } of peers) {
    const wrong = turns.get(name).reduce((sum, turn) => sum + turn.wrong, 0);
    check(wrong === 0, `${name}: ${wrong} wrong answers`);
  }
} catch (error) {
  check(false, error.stack);
} finally {
  await endAll();
  clearFolders();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
