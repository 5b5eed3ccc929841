/**
 * `npm run test:chart`: fetches Helm 3 and 4 and the typed schemas, once, then runs the *.chart.ts files beside it.
 * They are not called *.test.ts so that `npm test` needs none of this.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { pinnedHelm } from "../../scripts/helm.mjs";
import { skipOrFail } from "../../scripts/pinned-file.mjs";

const here = fileURLToPath(new URL("./", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));

const helms = fetchHelms();
installSchemas();
const files = readdirSync(here).filter((name) => name.endsWith(".chart.ts"));
const { status } = spawnSync(
  `${root}node_modules/.bin/tap`,
  [
    "run",
    "--disable-coverage",
    "--timeout=600",
    ...process.argv.slice(2),
    ...files.map((name) => `test/chart/${name}`),
  ],
  { cwd: root, stdio: "inherit", env: { ...process.env, HELM_3: helms[3], HELM_4: helms[4] } },
);
process.exit(status ?? 1);

function fetchHelms() {
  try {
    const found = { 3: pinnedHelm(3), 4: pinnedHelm(4) };
    if (found[3] === null) skipOrFail("test:chart", "the pinned Helm builds run on Linux on x64 only");
    return found;
  } catch (error) {
    return skipOrFail("test:chart", `Helm could not be fetched: ${error.message}`);
  }
}

/** Installed anew only when the lockfile is another one than last time. */
function installSchemas() {
  const stamp = `${here}node_modules/.lockfile-sha256`;
  const wanted = createHash("sha256")
    .update(readFileSync(`${here}package-lock.json`))
    .digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], {
    cwd: here,
    stdio: "inherit",
    timeout: 300_000,
  });
  if (status !== 0) skipOrFail("test:chart", "the typed schemas could not be installed (npm ci in test/chart)");
  writeFileSync(stamp, wanted);
}
