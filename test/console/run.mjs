/**
 * `npm run test:console`: the operator's console in a real Chromium, before a real gateway. With `--pictures` it writes
 * docs/images/console-*.png instead; with words, only the scenarios whose sentences have them all.
 */
import { findChromium } from "../../scripts/chromium-find.mjs";
import { skipOrFail } from "../../scripts/pinned-file.mjs";
import { takePictures } from "./pictures.mjs";
import { startBrowser, startGateway } from "./rig.mjs";
import { scenarios } from "./scenarios.mjs";

const scenarioMs = 90_000;
/** Answers that scenarios ask for: a wrong token, a record that is gone, one that has changed. */
const meantStatuses = [401, 404, 412];

const words = process.argv.slice(2);
const { path, reason } = findChromium();
if (path === undefined) skipOrFail("test:console", reason);

const browser = await startBrowser(path);
try {
  if (words.includes("--pictures")) await takePictures(browser);
  else process.exitCode = (await runAll()) === 0 ? 0 : 1;
} finally {
  await browser.close();
}

async function runAll() {
  const gateway = await startGateway();
  let passed = 0;
  let failed = 0;
  const check = async (title, work) => {
    const begunMs = Date.now();
    try {
      await within(scenarioMs, work());
      await browser.closePages();
      passed += 1;
      process.stdout.write(`ok - ${title} (${Date.now() - begunMs} ms)\n`);
    } catch (error) {
      failed += 1;
      process.stdout.write(`not ok - ${title}\n${error.stack}\n`);
    }
  };
  try {
    const chosen = Object.entries(scenarios).filter(([title]) => words.every((word) => title.includes(word)));
    for (const [title, work] of chosen) await check(title, () => work({ gateway, browser }));
    await check("no script failed, nothing was blocked, no other host was asked, in the whole run", async () => {
      const complaints = browser.complaints(meantStatuses);
      if (complaints.length > 0) throw new Error([...new Set(complaints)].join("\n"));
    });
  } finally {
    await gateway.stop();
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed;
}

async function within(limitMs, work) {
  let timer;
  const over = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${limitMs} ms`)), limitMs);
  });
  try {
    await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}
