import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";

/** Compiles `native/disk.c`. Without a compiler the test is skipped, and fails where `CI` is set. */
export function diskShim(t: Test): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "disk-shim-"));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const library = join(folder, "disk.so");
  const source = join(import.meta.dirname, "native/disk.c");
  const compiled = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], { encoding: "utf8" });
  if (compiled.status === 0) return library;
  const why = `the disk is only made to fail where there is a C compiler on Linux: ${compiled.error?.message ?? compiled.stderr}`;
  if (process.env.CI) t.fail(why);
  else t.comment(why);
  return undefined;
}
