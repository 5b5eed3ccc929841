import { join } from "node:path";
import type { Test } from "tap";
import type { Config } from "../../src/config/config.js";
import { type Loaded, type LoadOptions, loadConfig } from "../../src/config/load.js";

interface Sources {
  readonly env?: Readonly<Record<string, string>>;
  /** Beside the configuration file. */
  readonly files?: Readonly<Record<string, string>>;
  readonly overrides?: LoadOptions["overrides"];
}

/** Loads `text` as `gateway.yaml` from a folder of this test's own, which is the working directory too. */
export function load(
  t: Test,
  text: string,
  { env = {}, files = {}, overrides = {} }: Sources = {},
): Loaded & { folder: string } {
  const folder = t.testdir({ "gateway.yaml": text, ...files });
  return { ...loadConfig("gateway.yaml", env, { cwd: folder, overrides }), folder };
}

/** What `check` would print, without the file's name. */
export function mistakes(t: Test, text: string, sources?: Sources): readonly string[] {
  const loaded = load(t, text, sources);
  if (loaded.kind !== "bad") return [];
  return loaded.mistakes.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);
}

export function configOf(t: Test, text: string, sources?: Sources): Config {
  const loaded = load(t, text, sources);
  if (loaded.kind !== "ok") throw new Error(JSON.stringify(loaded, null, 2));
  return loaded.config;
}

/** One route that is right, indented as an entry of `routes`, with more lines of its own behind it. */
export function route(...more: readonly string[]): string {
  return [
    "routes:",
    "  - name: pay",
    "    match: { path: /pay }",
    "    upstream: { url: http://api:3000 }",
    ...more.map((line) => `    ${line}`),
    "",
  ].join("\n");
}

/** Where a file of the repository is. */
export function inRepository(path: string): string {
  return join(import.meta.dirname, "../..", path);
}
