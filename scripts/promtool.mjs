#!/usr/bin/env node
/**
 * Runs promtool: `node scripts/promtool.mjs check rules …`. $PROMTOOL_BIN, then `promtool` on the PATH, then the one in
 * Debian's `prometheus` package, unpacked without installing it: no root, no service started. apt checks what it fetches.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { cacheDir } from "./pinned-file.mjs";

/** Path of a promtool to use, or the reason why there is none. */
export function findPromtool() {
  if (process.env.PROMTOOL_BIN) return { path: process.env.PROMTOOL_BIN };
  if (spawnSync("promtool", ["--version"], { stdio: "ignore" }).status === 0) return { path: "promtool" };
  const program = join(cacheDir, "promtool", "promtool");
  if (existsSync(program)) return { path: program };
  if (spawnSync("apt-get", ["--version"], { stdio: "ignore" }).status !== 0) {
    return { reason: "promtool is not on the PATH and this is no Debian; set PROMTOOL_BIN" };
  }
  mkdirSync(join(cacheDir, "promtool"), { recursive: true });
  const folder = mkdtempSync(join(cacheDir, "promtool", "deb-"));
  try {
    if (!download(folder)) return { reason: "apt-get could not download Debian's prometheus package" };
    const [deb] = readdirSync(folder);
    execFileSync("dpkg-deb", ["-x", deb, "."], { cwd: folder, timeout: 120_000 });
    renameSync(join(folder, "usr/bin/promtool"), program);
    return { path: program };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A machine that has just been made knows no packages yet; only root may tell it. */
function download(folder) {
  const get = () =>
    // apt drops to a user that may not write here unless it is told not to.
    spawnSync("apt-get", ["-o", "APT::Sandbox::User=root", "download", "prometheus"], {
      cwd: folder,
      stdio: "ignore",
      timeout: 300_000,
    }).status === 0;
  if (get()) return true;
  if (process.getuid?.() !== 0) return false;
  spawnSync("apt-get", ["update", "-qq"], { stdio: "ignore", timeout: 300_000 });
  return get();
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const found = findPromtool();
  if (found.path === undefined) {
    process.stderr.write(`promtool: ${found.reason}\n`);
    process.exit(1);
  }
  const { status } = spawnSync(found.path, process.argv.slice(2), { stdio: "inherit" });
  process.exit(status ?? 1);
}
