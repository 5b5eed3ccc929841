// Runs every suite in turn and adds up what their runners counted. A suite that counts nothing, or ends badly without
// having counted a failure, counts as one failure: silence is no success. What failed is said again at the end, where
// somebody who has only the last lines of a long log finds it.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";

const scripts = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).scripts;

/** In this order; those that do not exist in package.json are not part of the product yet. */
const suites = [
  { script: "check", minutes: 8 },
  { script: "test", minutes: 25 },
  { script: "test:full-parsers", minutes: 10 },
  { script: "demo", minutes: 4 },
  { script: "chaos:short", minutes: 8 },
  { script: "fuzz", minutes: 4 },
  { script: "test:chart", minutes: 8 },
  { script: "test:alerts", minutes: 5 },
  { script: "test:console", minutes: 6 },
  { script: "bench:guard", minutes: 4 },
  { script: "test:image", minutes: 8 },
];

let passed = 0;
let failed = 0;
const failures = [];
for (const { script, minutes } of suites) {
  if (scripts[script] === undefined) continue;
  const begun = Date.now();
  console.log(`\n=== npm run ${script}`);
  const { code, output } = await run(script, minutes);
  const counted = count(output, code);
  passed += counted.passed;
  failed += counted.failed;
  if (counted.failed > 0) failures.push(`--- npm run ${script}, exit code ${code}`, ...whatFailed(output));
  console.log(
    `=== ${script}: ${counted.passed} passed, ${counted.failed} failed, ${Math.round((Date.now() - begun) / 1000)} s`,
  );
}
if (failures.length > 0) console.log(`\n=== What failed\n${failures.join("\n")}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

function run(script, minutes) {
  return new Promise((resolve) => {
    // A group of its own, so that whatever a suite left behind ends with it.
    const child = spawn("npm", ["run", "--silent", script], { stdio: ["ignore", "pipe", "pipe"], detached: true });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (text) => {
        process.stdout.write(text);
        output += text;
      });
    }
    const stop = () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It is gone.
      }
    };
    const timer = setTimeout(() => {
      console.log(`=== ${script} took longer than ${minutes} minutes`);
      stop();
    }, minutes * 60_000);
    child.on("close", (code) => {
      clearTimeout(timer);
      stop();
      resolve({ code: code ?? 1, output });
    });
  });
}

/** tap closes with `# { total: 3, pass: 3 }`, others with `3 passed, 0 failed`; what counts nothing counts as one. */
function count(output, code) {
  const tap = [...output.matchAll(/^# \{ total: .*\}$/gm)].at(-1)?.[0];
  const plain = [...output.matchAll(/^(?:\S+: )?(\d+) passed, (\d+) failed/gm)].at(-1);
  const inTap = (word) => Number(new RegExp(`\\b${word}: (\\d+)`).exec(tap)?.[1] ?? 0);
  const passes = tap ? inTap("pass") : Number(plain?.[1] ?? (code === 0 ? 1 : 0));
  const failures = tap ? inTap("fail") : Number(plain?.[2] ?? 0);
  return { passed: passes, failed: code !== 0 && failures === 0 ? 1 : failures };
}

/** Each `not ok` line and what follows it, up to the next line of its kind; without one, the last lines. */
function whatFailed(output, most = 60) {
  const lines = output.split("\n");
  const found = [];
  let left = 0;
  for (const line of lines) {
    if (/^\s*not ok\b/.test(line)) left = most;
    else if (/^\s*ok\b/.test(line)) left = 0;
    if (left-- > 0) found.push(line);
  }
  return found.length > 0 ? found : lines.slice(-most);
}
