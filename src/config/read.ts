import type { MapTree, ScalarTree, Tree } from "./document.js";
import { type Findings, under } from "./findings.js";
import { nearest } from "./nearest.js";
import { type Parsed, refuse } from "./parsed.js";
import { checkText, readScalar, type ScalarShape, show } from "./scalar.js";
import type { EitherShape, Fields, ListShape, MapShape, Shape, VariantsShape } from "./setting.js";

/** Where mistakes go, and how the file behind `file:PATH` is read. */
export interface Reading {
  readonly findings: Findings;
  readonly secretFile: (path: string) => Parsed<string>;
}

type Values = Record<string, unknown>;

/**
 * What is written, by its declaration: durations as milliseconds, sizes as bytes, nothing filled in. Where a value is
 * wrong its mistake is told and `undefined` stands for it.
 */
export function read(shape: Shape, tree: Tree, path: string, reading: Reading): unknown {
  if (tree.kind === "broken") return undefined;
  switch (shape.kind) {
    case "group":
      return readFields(shape.fields, tree, path, reading, (key) => unknownKey(key, shape.fields));
    case "map":
      return readMap(shape, tree, path, reading);
    case "variants":
      return readVariants(shape, tree, path, reading);
    case "list":
      return readList(shape, tree, path, reading);
    case "either":
      return readEither(shape, tree, path, reading);
    default:
      return readLeaf(shape, tree, path, reading);
  }
}

/** A group with nothing under it is an empty group: `idempotency:` protects as `idempotency: {}` does. */
function entriesOf(tree: Tree, path: string, { findings }: Reading): MapTree["entries"] | undefined {
  if (tree.kind === "map") return tree.entries;
  if (tree.kind === "scalar" && tree.value === null) return [];
  findings.mistake(
    path,
    `expected settings below it (name: value), got ${tree.kind === "list" ? "a list" : "one value"}`,
  );
  return undefined;
}

function readFields(
  fields: Fields,
  tree: Tree,
  path: string,
  reading: Reading,
  explain: (key: string) => string,
): Values | undefined {
  const entries = entriesOf(tree, path, reading);
  if (entries === undefined) return undefined;
  const values: Values = {};
  for (const { key, keyAt, value } of entries) {
    const shape = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (shape === undefined) {
      reading.findings.mistake(under(path, key), explain(key), keyAt);
      continue;
    }
    const found = read(shape, value, under(path, key), reading);
    if (found !== undefined) values[key] = found;
  }
  return values;
}

function unknownKey(key: string, fields: Fields): string {
  if (key === "<<") return "YAML 1.2 has no merge key; use `defaults`, or repeat the settings";
  const near = nearest(key, Object.keys(fields));
  if (near !== undefined) return `unknown key; did you mean ${near}?`;
  const deeper = findBelow(key, fields);
  if (deeper !== undefined) return `unknown key; did you mean ${deeper}?`;
  return `unknown key; here belong ${Object.keys(fields).join(", ")}`;
}

/** `requestBody` straight under `server` is `limits.requestBody`. */
function findBelow(key: string, fields: Fields): string | undefined {
  for (const [name, shape] of Object.entries(fields)) {
    if (shape.kind !== "group") continue;
    if (Object.hasOwn(shape.fields, key)) return `${name}.${key}`;
    const deeper = findBelow(key, shape.fields);
    if (deeper !== undefined) return `${name}.${deeper}`;
  }
  return undefined;
}

function readMap(shape: MapShape, tree: Tree, path: string, reading: Reading): Values | undefined {
  const fields = Object.fromEntries(shape.keys.map((key) => [key, shape.item]));
  return readFields(fields, tree, path, reading, (key) => unknownKey(key, fields));
}

function readVariants(shape: VariantsShape, tree: Tree, path: string, reading: Reading): Values | undefined {
  const names = Object.keys(shape.variants);
  const selector: Shape = { kind: "choice", description: "", values: names };
  const entries = entriesOf(tree, path, reading);
  const written = entries?.find(({ key }) => key === shape.key)?.value;
  const chosen = written === undefined ? shape.usual : read(selector, written, under(path, shape.key), reading);
  const variant = shape.variants[String(chosen)];
  // Which settings belong here is not known while the choice itself is wrong.
  if (entries === undefined || variant === undefined) return undefined;
  const fields = { [shape.key]: selector, ...variant.fields };
  const inner: MapTree = { kind: "map", at: tree.at, entries: entries.filter(({ key }) => key !== shape.key) };
  const values = readFields(fields, inner, path, reading, (key) => {
    const owner = names.find((name) => Object.hasOwn(shape.variants[name]?.fields ?? {}, key));
    return owner ? `belongs to ${shape.key}: ${owner}, and ${shape.key} is ${chosen}` : unknownKey(key, fields);
  });
  return values && { ...values, [shape.key]: chosen };
}

function readList(shape: ListShape, tree: Tree, path: string, reading: Reading): unknown[] | undefined {
  const { findings } = reading;
  if (tree.kind !== "list") {
    findings.mistake(path, `expected a list${asList(shape, tree)}`);
    return undefined;
  }
  if (tree.items.length < (shape.minItems ?? 0)) findings.mistake(path, "needs at least one entry");
  const seen = new Set<string>();
  return tree.items.map((item, index) => {
    const value = read(shape.item, item, under(path, index), reading);
    // What is wrong keeps its number, so that those after it keep theirs: no mistake hides another.
    if (value === undefined) return shape.item.kind === "group" ? {} : undefined;
    const identity = shape.foldCase ? JSON.stringify(value).toLowerCase() : JSON.stringify(value);
    if (shape.item.kind !== "group" && seen.has(identity)) findings.mistake(under(path, index), "is listed twice");
    seen.add(identity);
    return value;
  });
}

function asList(shape: ListShape, tree: Tree): string {
  if (tree.kind !== "scalar" || tree.value === null) return `, got ${tree.kind === "map" ? "settings" : "nothing"}`;
  const isSecret = shape.item.kind === "text" && shape.item.secret;
  return isSecret || shape.item.kind === "group" ? ", got one value" : `; did you mean [${show(tree)}]?`;
}

function readEither(shape: EitherShape, tree: Tree, path: string, reading: Reading): unknown {
  const kind = { list: "list", map: "group" }[tree.kind as string] ?? "scalar";
  const options = shape.of.filter((option) => option.kind === kind || (kind === "scalar" && isScalar(option)));
  const [first] = options;
  if (kind !== "scalar" && first !== undefined) return read(first, tree, path, reading);
  if (tree.kind === "scalar") {
    for (const option of options) {
      const result = readScalar(option as ScalarShape, tree);
      if (result.ok) return result.value;
    }
    // Any text is meant for a text, and its own rule tells best what is wrong with it.
    if (first?.kind === "text" && typeof tree.value === "string") return read(first, tree, path, reading);
  }
  const got = tree.kind === "scalar" ? show(tree) : tree.kind === "map" ? "settings" : "a list";
  reading.findings.mistake(path, `expected ${shape.of.map(nameOf).join(" or ")}, got ${got}`);
  return undefined;
}

function isScalar({ kind }: Shape): boolean {
  return kind !== "list" && kind !== "group";
}

/** What a message calls a kind of value. */
function nameOf(shape: Shape): string {
  if (shape.kind === "integer") return `a whole number from ${shape.min} to ${shape.max}`;
  if (shape.kind === "choice") return shape.values.join(" or ");
  if (shape.kind === "text" && shape.form?.noun !== undefined) return shape.form.noun;
  return (
    { flag: "true or false", list: "a list", text: "text", group: "settings" }[shape.kind as string] ??
    `a ${shape.kind}`
  );
}

function readLeaf(shape: ScalarShape, tree: Tree, path: string, reading: Reading): unknown {
  const { findings } = reading;
  if (tree.kind !== "scalar") {
    findings.mistake(path, `expected ${nameOf(shape)}, got ${tree.kind === "list" ? "a list" : "settings"}`);
    return undefined;
  }
  const result = shape.kind === "text" && shape.secret ? readSecret(shape, tree, reading) : readScalar(shape, tree);
  if (result.ok) return result.value;
  findings.mistake(path, result.message);
  return undefined;
}

function readSecret(shape: ScalarShape & { kind: "text" }, scalar: ScalarTree, reading: Reading): Parsed<unknown> {
  if (typeof scalar.value !== "string" || !scalar.value.startsWith("file:")) return readScalar(shape, scalar);
  const secret = reading.secretFile(scalar.value.slice("file:".length));
  if (!secret.ok) return secret;
  if (secret.value === "") return refuse(`${scalar.value.slice("file:".length)} is empty`);
  return checkText(shape, secret.value);
}
