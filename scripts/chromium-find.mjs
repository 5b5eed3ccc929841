#!/usr/bin/env node
/**
 * `node scripts/chromium-find.mjs`: prints the path of a Chromium to run. $CHROMIUM_BIN, then one on the PATH, then the one of
 * Debian's `chromium` package, unpacked into the cache with the libraries it misses here: nothing is installed, and
 * root is not needed. apt checks what it fetches.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";
import { cacheDir } from "./pinned-file.mjs";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/** What pages are drawn with where the machine has no fonts of its own. */
const fonts = ["fonts-inter", "fonts-dejavu-core"];
const home = join(cacheDir, "chromium");
const program = join(home, "chromium");

/** Path of a Chromium to use, or the reason why there is none. */
export function findChromium() {
  const { CHROMIUM_BIN, PATH = "" } = process.env;
  if (CHROMIUM_BIN) {
    return runs(CHROMIUM_BIN)
      ? { path: CHROMIUM_BIN }
      : { reason: `CHROMIUM_BIN is ${CHROMIUM_BIN}, which does not run` };
  }
  for (const folder of PATH.split(delimiter)) {
    const path = names
      .map((name) => join(folder, name))
      .find((each) => folder !== "" && existsSync(each) && runs(each));
    if (path !== undefined) return { path };
  }
  if (existsSync(program) && runs(program)) return { path: program };
  if (spawnSync("apt-get", ["--version"], { stdio: "ignore" }).status !== 0) {
    return { reason: "no Chromium is on the PATH and this is no Debian; set CHROMIUM_BIN" };
  }
  try {
    unpack();
  } catch (error) {
    return { reason: `Debian's chromium package cannot be had: ${String(error.stderr || error.message).trim()}` };
  }
  return runs(program) ? { path: program } : { reason: `the Chromium unpacked at ${home} does not run here` };
}

function runs(path) {
  const { status, stdout } = spawnSync(path, ["--version"], { encoding: "utf8", timeout: 30_000 });
  return status === 0 && /chrom/i.test(stdout);
}

/** The package, and of what it depends on all that is not installed: as apt itself would choose it. */
function unpack() {
  mkdirSync(home, { recursive: true });
  const folder = mkdtempSync(join(home, "new-"));
  try {
    const options = packageLists();
    const plan = apt([...options, "install", "--simulate", "--no-install-recommends", "chromium", ...fonts]);
    const wanted = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name);
    if (!wanted.includes("chromium")) throw new Error("apt-get would not install it");
    mkdirSync(join(folder, "deb"));
    apt([...options, "download", ...wanted], join(folder, "deb"));
    for (const file of readdirSync(join(folder, "deb"))) {
      execFileSync("dpkg-deb", ["-x", join(folder, "deb", file), join(folder, "root")], { timeout: 120_000 });
    }
    // Two of these may run at once: the first to get here wins, the other finds a whole folder.
    if (!existsSync(join(home, "root"))) renameSync(join(folder, "root"), join(home, "root"));
    writeFileSync(join(home, "fonts.conf"), fontList());
    writeFileSync(program, wrapper);
    chmodSync(program, 0o755);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function apt(args, cwd) {
  return execFileSync("apt-get", args, { cwd, encoding: "utf8", timeout: 600_000, stdio: ["ignore", "pipe", "pipe"] });
}

/** The options that make apt use the machine's package lists or, where it has none, its own. */
function packageLists() {
  // apt drops to a user that may not write here unless it is told not to.
  const sandbox = process.getuid?.() === 0 ? ["-o", "APT::Sandbox::User=root"] : [];
  const policy = execFileSync("apt-cache", ["policy", "chromium"], { encoding: "utf8", timeout: 60_000 });
  if (/Candidate: \d/.test(policy)) return sandbox;
  const own = [...sandbox, "-o", `Dir::State::lists=${join(home, "lists")}`, "-o", `Dir::Cache=${join(home, "apt")}`];
  mkdirSync(join(home, "lists", "partial"), { recursive: true });
  mkdirSync(join(home, "apt", "archives", "partial"), { recursive: true });
  apt([...own, "update"]);
  return own;
}

/** Those unpacked, and those the machine has; what pages mean by the usual names. */
function fontList() {
  const folders = [join(home, "root/usr/share/fonts"), "/usr/share/fonts"].filter((each) =>
    statSync(each, { throwIfNoEntry: false }),
  );
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
${folders.map((folder) => `  <dir>${folder}</dir>`).join("\n")}
  <alias><family>system-ui</family><prefer><family>Inter</family><family>DejaVu Sans</family></prefer></alias>
  <alias><family>sans-serif</family><prefer><family>Inter</family><family>DejaVu Sans</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
  <alias><family>ui-monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
  <cachedir>${join(home, "font-cache")}</cachedir>
</fontconfig>
`;
}

const wrapper = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
for folder in "$here"/root/usr/lib/*-linux-*/pulseaudio "$here"/root/usr/lib/*-linux-* "$here"/root/lib/*-linux-*; do
  LD_LIBRARY_PATH="$folder\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
done
export LD_LIBRARY_PATH FONTCONFIG_FILE="$here/fonts.conf" CHROME_WRAPPER="$0"
exec "$here/root/usr/lib/chromium/chromium" "$@"
`;

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { path, reason } = findChromium();
  if (path === undefined) process.stderr.write(`chromium: ${reason}\n`);
  else process.stdout.write(`${path}\n`);
  process.exitCode = path === undefined ? 1 : 0;
}
