import { dirname, resolve } from "node:path";
import { compile } from "./compile.js";
import type { Config } from "./config.js";
import { parseTree, type Tree } from "./document.js";
import type { Env } from "./expand.js";
import { ConfigFiles, type Contents } from "./files.js";
import { fill } from "./fill.js";
import { Findings, type Mistake } from "./findings.js";
import { type Overrides, override } from "./overrides.js";
import { read } from "./read.js";
import { mergeRoutes } from "./routes.js";
import { schema } from "./schema.js";
import { TlsFiles } from "./tls-files.js";
import { treeOf } from "./tree-of.js";
import { validate } from "./validate.js";

export type Loaded =
  | ({ readonly kind: "ok"; readonly config: Config; readonly warnings: readonly Mistake[] } & Origin)
  | ({ readonly kind: "bad"; readonly mistakes: readonly Mistake[] } & Origin)
  /** The configuration file itself cannot be read; `message` is the one line to print. */
  | ({ readonly kind: "unreadable"; readonly message: string } & Origin);

/** To tell whether another loading would find anything new. */
export interface Origin {
  /** Absolute paths of the configuration file and of every file it names, readable or not. */
  readonly files: readonly string[];
  /** Over what is in them. */
  readonly digest: string;
  readonly contents: Contents;
}

export interface LoadOptions {
  /** What a relative `file` is relative to; by default the working directory. */
  readonly cwd?: string;
  readonly overrides?: Overrides;
  /** Instead of what is on the disk: `Origin.contents` of another process. */
  readonly contents?: Contents | undefined;
}

/**
 * Reads, checks and compiles a configuration file. Paths in it are relative to its folder, so that it means the same
 * wherever the gateway is started from. Mistakes are told with `file` as it was given.
 */
export function loadConfig(file: string, env: Env, options: LoadOptions = {}): Loaded {
  const absolute = resolve(options.cwd ?? process.cwd(), file);
  const files = new ConfigFiles(dirname(absolute), options.contents);
  const source = files.read(absolute);
  if (!source.ok) return { kind: "unreadable", message: source.message.replace(absolute, file), ...originOf(files) };
  const findings = new Findings(file);
  const tree = parseTree(source.value, env, findings);
  const config = tree && build(tree, files, findings, options.overrides ?? {});
  if (config === undefined) return { kind: "bad", mistakes: findings.mistakes, ...originOf(files) };
  return { kind: "ok", config, warnings: findings.warnings, ...originOf(files) };
}

export type Built =
  | { readonly kind: "ok"; readonly config: Config }
  | { readonly kind: "bad"; readonly message: string };

/** What `serve --upstream URL` runs without a file. Paths are relative to the working directory. */
export function defaultConfig(overrides: Overrides & { readonly upstream: string }, cwd = process.cwd()): Built {
  const findings = new Findings("");
  const config = build(treeOf(withoutFile), new ConfigFiles(cwd), findings, overrides);
  if (config !== undefined) return { kind: "ok", config };
  return { kind: "bad", message: findings.mistakes.map(({ path, message }) => `${path} ${message}`).join("; ") };
}

/** A client that sends no key does not notice the gateway: nothing ends, or waits, but where it would without it (decision 0117). */
const withoutFile = {
  defaults: { upstream: { timeout: "1h", connections: 10_000 } },
  routes: [
    { name: "all", match: { path: "/*", methods: ["POST", "PATCH"] }, idempotency: { key: { required: false } } },
    { name: "other-methods", match: { path: "/*" } },
  ],
};

/** `undefined`: there are mistakes. */
function build(tree: Tree, files: ConfigFiles, findings: Findings, overrides: Overrides): Config | undefined {
  const written = read(schema, tree, "", { findings, secretFile: (path) => files.readSecret(path) });
  const filled = fill(schema, written, "", (path) => {
    if (findings.isSound(path)) findings.mistake(path, "is required");
  });
  const settings = override(filled, overrides);
  const routes = mergeRoutes(settings, findings);
  validate(settings, routes, findings);
  const pem = new TlsFiles(files, findings);
  const tls = pem.server(settings.server.tls);
  const upstreamTls = pem.upstreams(routes);
  if (findings.mistakes.length > 0) return undefined;
  const { certificates } = pem;
  return compile(settings, routes, { tls, upstreamTls, certificates, resolve: (path) => files.resolve(path) });
}

function originOf(files: ConfigFiles): Origin {
  return { files: files.names, digest: files.digest(), contents: files.contents };
}
