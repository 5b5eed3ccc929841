import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
} from "yaml";
import { type Env, expand } from "./expand.js";
import { type Findings, type Place, under } from "./findings.js";

/** A YAML document with aliases resolved and the environment filled in, every part with its place in the file. */
export type Tree = ScalarTree | ListTree | MapTree | BrokenTree;

export interface ScalarTree {
  readonly kind: "scalar";
  readonly at: Place;
  readonly value: string | number | boolean | null;
  /** As written, before expansion. */
  readonly source: string;
  /** Whether the environment had a part in it: then its text has no YAML type, and takes the setting's. */
  readonly expanded: boolean;
}
export interface ListTree {
  readonly kind: "list";
  readonly at: Place;
  readonly items: readonly Tree[];
}
export interface MapTree {
  readonly kind: "map";
  readonly at: Place;
  readonly entries: readonly { readonly key: string; readonly keyAt: Place; readonly value: Tree }[];
}
/** Its mistake is already told. */
export interface BrokenTree {
  readonly kind: "broken";
  readonly at: Place;
}

/** More than any real file needs; a few aliases of aliases, or one of itself, would otherwise grow without bound. */
const maxNodes = 100_000;
const maxDepth = 32;

/** `undefined`: nothing to look into, and why is told. */
export function parseTree(text: string, env: Env, findings: Findings): Tree | undefined {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    // Told by the walk below, which knows the path.
    uniqueKeys: false,
    stringKeys: true,
    resolveKnownTags: false,
    // Not `silent`: that would let a second document pass unnoticed.
    logLevel: "error",
  });
  if (reportSyntax(document, text, lines, findings)) return undefined;
  const walk = new Walk(document, lines, env, findings);
  const tree = walk.tree(document.contents, "", { line: 1, column: 1 });
  return walk.isTooLarge ? undefined : tree;
}

function reportSyntax(document: Document.Parsed, text: string, lines: LineCounter, findings: Findings): boolean {
  const faults = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  const seen = new Set<number>();
  for (const fault of faults) {
    const place = placeAt(lines, fault.pos[0]);
    // One slip makes the parser stumble several times on a line.
    if (seen.has(place.line)) continue;
    seen.add(place.line);
    findings.mistake("", `is not valid YAML: ${explain(fault.code, fault.message, text, place.line)}`, place);
  }
  const version = document.directives?.yaml;
  if (version?.explicit && version.version !== "1.2") findings.mistake("", `is YAML 1.2, not ${version.version}`);
  return findings.mistakes.length > 0;
}

function explain(code: string, message: string, text: string, line: number): string {
  if (code === "MULTIPLE_DOCS") return "a second document begins here, and one file holds one configuration";
  const written = text.split(/\r?\n/)[line - 1] ?? "";
  const isBareInFlow = /[{[,].*[^"'\w$]\$\{/.test(written);
  return `${message}${isBareInFlow ? ` (inside { } and [ ], write "\${NAME}" with quotes)` : ""}`;
}

function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

class Walk {
  #nodes = 0;
  #depth = 0;
  readonly #targets = new Map<Alias, Node | undefined>();

  constructor(
    private readonly document: Document.Parsed,
    private readonly lines: LineCounter,
    private readonly env: Env,
    private readonly findings: Findings,
  ) {}

  get isTooLarge(): boolean {
    return this.#nodes > maxNodes;
  }

  /** `fallback` is where a value stands that is not written: at its key. */
  tree(node: Node | null, path: string, fallback: Place): Tree {
    const at = this.#place(node, fallback);
    this.findings.place(path, at);
    if (this.isTooLarge) return { kind: "broken", at };
    this.#nodes += 1;
    if (this.isTooLarge) return this.#broken(path, at, "grows too large here, through its aliases");
    if (this.#depth >= maxDepth) return this.#broken(path, at, "is nested too deeply");
    this.#depth += 1;
    const tree = this.#inner(node, path, at);
    this.#depth -= 1;
    return tree;
  }

  #inner(node: Node | null, path: string, at: Place): Tree {
    if (isAlias(node)) {
      const target = this.#target(node);
      if (target === undefined) return this.#broken(path, at, `*${node.source} refers to an anchor that is not there`);
      return this.tree(target, path, at);
    }
    if (isMap(node)) return this.#map(node.items as Pair<Node, Node | null>[], path, at);
    if (isSeq(node)) {
      const items = (node.items as Node[]).map((item, index) => this.tree(item, under(path, index), at));
      return { kind: "list", at, items };
    }
    return this.#scalar(node, path, at);
  }

  /** Looked for once: the library searches the whole document each time. */
  #target(alias: Alias): Node | undefined {
    if (!this.#targets.has(alias)) this.#targets.set(alias, alias.resolve(this.document));
    return this.#targets.get(alias);
  }

  #map(pairs: readonly Pair<Node, Node | null>[], path: string, at: Place): Tree {
    const entries: MapTree["entries"][number][] = [];
    const lineOf = new Map<string, number>();
    for (const pair of pairs) {
      const key = String(isScalar(pair.key) ? pair.key.value : pair.key);
      const keyAt = this.#place(pair.key, at);
      const first = lineOf.get(key);
      if (first !== undefined) {
        this.findings.mistake(under(path, key), `is given twice, first on line ${first}`, keyAt);
        continue;
      }
      lineOf.set(key, keyAt.line);
      entries.push({ key, keyAt, value: this.tree(pair.value, under(path, key), keyAt) });
    }
    return { kind: "map", at, entries };
  }

  #scalar(node: Node | null, path: string, at: Place): Tree {
    const scalar = isScalar(node) ? node : undefined;
    const value = (scalar?.value ?? null) as ScalarTree["value"];
    const source = scalar?.source ?? String(value ?? "");
    if (typeof value !== "string" || !value.includes("${"))
      return { kind: "scalar", at, value, source, expanded: false };
    const expansion = expand(value, this.env);
    if (expansion.ok) return { kind: "scalar", at, value: expansion.value, source, expanded: expansion.expanded };
    for (const message of expansion.messages) this.findings.mistake(path, message, at);
    return { kind: "broken", at };
  }

  #broken(path: string, at: Place, message: string): BrokenTree {
    this.findings.mistake(path, message, at);
    return { kind: "broken", at };
  }

  #place(node: Node | null, fallback: Place): Place {
    const [start, end] = node?.range ?? [0, 0];
    return end > start ? placeAt(this.lines, start) : fallback;
  }
}
