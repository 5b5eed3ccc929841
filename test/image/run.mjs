/**
 * `npm run test:image`: builds the image as a user would and runs it as a restricted pod would be run. Then it looks at the
 * image, sends requests through it and stops it in the middle of one.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { findEngine } from "../../scripts/image-engine.mjs";
import { skipOrFail } from "../../scripts/pinned-file.mjs";
import { checkContents, checkMetadata, checkRefusal } from "./contents.mjs";
import { checkDrain, checkReplay, checkRestriction, startPod } from "./pod.mjs";

const context = fileURLToPath(new URL("../../", import.meta.url));
const revision = randomUUID().slice(0, 8);
const tag = `localhost/idempotency-gateway-test:${revision}`;

const { engine, reason } = findEngine();
if (engine === undefined) skipOrFail("test:image", reason);

/** Nothing here may hang for ever, whatever an engine does, and nothing may be left behind. */
const limitMs = 12 * 60_000;
const giveUp = (why) => {
  process.stderr.write(`test:image: FAILED: ${why}\n`);
  engine.clean(tag);
  process.exit(1);
};
setTimeout(giveUp, limitMs, `not done after ${limitMs / 60_000} minutes`).unref();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => giveUp(`stopped by ${signal}`));

let failed = 0;
async function step(title, run) {
  const begin = performance.now();
  try {
    const result = await run();
    process.stdout.write(`ok - ${title} (${Math.round(performance.now() - begin)} ms)\n`);
    return result;
  } catch (error) {
    failed += 1;
    process.stdout.write(`not ok - ${title}\n${error.stack}\n`);
    return undefined;
  }
}

const args = { VERSION: "9.8.7", REVISION: revision, CREATED: "2026-01-02T03:04:05Z" };
try {
  await step(`${engine.name} builds the image`, async () => engine.build({ tag, context, args }));
  if (failed === 0) {
    process.stdout.write(`# ${Math.round(engine.inspect(tag).Size / 1e6)} MB\n`);
    await step("the image says who it is, what it runs and as whom", async () => checkMetadata(engine, tag, args));
    await step("the image holds what production needs and no more", async () => checkContents(engine, tag));
    await step("a wrong configuration ends it with one line and 1", async () => checkRefusal(engine, tag));
    const pod = await step("it starts under the restricted profile and becomes ready", () => startPod(engine, tag));
    if (pod !== undefined) {
      try {
        await step("the process has no right it does not need", async () => checkRestriction(engine, pod));
        await step("a protected request runs once and is replayed", () => checkReplay(pod));
        await step("SIGTERM in the middle of a request: it is answered, exit code 0", () => checkDrain(engine, pod));
        const next = await step("another container starts over the same records", () => startPod(engine, tag, pod));
        if (next !== undefined) {
          await step("and replays what the first one finished while it drained", async () => {
            const replay = await next.send("slow", "/v1/slow");
            assert.equal(replay.headers.get("idempotent-replayed"), "true");
            assert.equal(next.dispatched("slow"), 1);
          });
          await next.end();
        }
      } finally {
        await pod.end({ removeRecords: true });
      }
    }
  }
} finally {
  engine.clean(tag);
}
process.stdout.write(failed === 0 ? "test:image: all well\n" : `test:image: ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
