import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import type { Test } from "tap";
import { type EmbeddedHooks, type EmbeddedStore, openEmbeddedStore } from "../../src/store/sqlite/sqlite-store.js";

const root = fileURLToPath(new URL("../../", import.meta.url));

/**
 * A source file and what it imports as one JavaScript file: tap's TypeScript loader takes seconds in each thread and
 * each process, this takes none.
 */
export async function bundled(t: Test, source: string): Promise<URL> {
  const folder = join(root, "node_modules/.cache/embedded-tests");
  mkdirSync(folder, { recursive: true });
  const own = mkdtempSync(join(folder, "run-"));
  t.teardown(() => rmSync(own, { recursive: true, force: true }));
  const outfile = join(own, "bundle.mjs");
  await build({
    entryPoints: [join(root, source)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    logLevel: "warning",
  });
  return pathToFileURL(outfile);
}

export interface Embedded {
  readonly path: string;
  /** Added to all clocks, and to the wall clock alone. */
  readonly skewMs: Float64Array;
  /** What the operator was told. */
  readonly troubles: string[];
  open(changes?: Partial<EmbeddedHooks>): Promise<EmbeddedStore>;
  /** Closes what was opened, and removes the folder. */
  close(): Promise<void>;
}

/** A folder of its own, and stores on it. */
export function embeddedIn(thread: URL, parent = tmpdir()): Embedded {
  const path = mkdtempSync(join(parent, "embedded-"));
  const skewMs = new Float64Array(new SharedArrayBuffer(16));
  const troubles: string[] = [];
  const opened: EmbeddedStore[] = [];
  return {
    path,
    skewMs,
    troubles,
    async open(changes) {
      const onTrouble = (what: string) => void troubles.push(what);
      const store = await openEmbeddedStore({ type: "embedded", path }, { onTrouble, skewMs, thread, ...changes });
      opened.push(store);
      return store;
    },
    async close() {
      for (const store of opened) await store.close();
      rmSync(path, { recursive: true, force: true });
    },
  };
}
