import { Findings, under } from "./findings.js";
import { refuse } from "./parsed.js";
import { read } from "./read.js";
import type { Infer, Setting, Shape } from "./setting.js";
import { treeOf } from "./tree-of.js";

/** Called for a required setting that nobody wrote. */
export type OnMissing = (path: string) => void;

type Values = Readonly<Record<string, unknown>>;

/**
 * What was read, completed with the defaults. A required setting that is not there is told, and stands as something
 * empty: such a configuration is never compiled, only looked through for further mistakes.
 */
export function fill<S extends Setting<unknown>>(
  shape: S,
  value: unknown,
  path: string,
  onMissing: OnMissing,
): Infer<S> {
  return filled(shape, value, path, onMissing) as Infer<S>;
}

function filled(shape: Shape, value: unknown, path: string, onMissing: OnMissing): unknown {
  if (shape.kind === "group") {
    if (value === undefined && shape.optional) return undefined;
    return shape.sparse ? (value ?? {}) : filledFields(shape.fields, value, path, onMissing);
  }
  if (shape.kind === "variants") {
    const chosen = (value as Values | undefined)?.[shape.key] ?? shape.usual;
    const { fields = {} } = shape.variants[String(chosen)] ?? {};
    return { [shape.key]: chosen, ...filledFields(fields, value, path, onMissing) };
  }
  if (shape.kind === "list" && shape.item.kind === "group") {
    const items = (value ?? []) as readonly unknown[];
    if (value === undefined && shape.required) onMissing(path);
    return items.map((item, index) => filled(shape.item, item, under(path, index), onMissing));
  }
  if (shape.kind === "either" && isGroup(value)) {
    return filled(shape.of.find(({ kind }) => kind === "group")!, value, path, onMissing);
  }
  if (value !== undefined) return value;
  if (shape.default !== undefined) return usualValue(shape, path);
  if (!shape.required) return undefined;
  onMissing(path);
  return shape.kind === "list" ? [] : "";
}

function filledFields(
  fields: Readonly<Record<string, Shape>>,
  value: unknown,
  path: string,
  onMissing: OnMissing,
): Values {
  const written = (value ?? {}) as Values;
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, filled(field, written[name], under(path, name), onMissing)]),
  );
}

const usualValues = new WeakMap<Shape, unknown>();

/** Defaults are written as an operator would, and go the same way, once. */
export function usualValue(shape: Shape, path: string): unknown {
  if (usualValues.has(shape)) return usualValues.get(shape);
  const findings = new Findings("schema");
  const value = read(shape, treeOf(shape.default), path, { findings, secretFile: refuse });
  const [mistake] = findings.mistakes;
  if (mistake !== undefined) throw new Error(`the default of ${path}: ${mistake.message}`);
  usualValues.set(shape, value);
  return value;
}

/** `over` wins field by field, in nested groups too; lists and single values are replaced whole. */
export function merge(below: unknown, over: unknown): unknown {
  if (!isGroup(below) || !isGroup(over)) return over === undefined ? below : over;
  const names = new Set([...Object.keys(below), ...Object.keys(over)]);
  return Object.fromEntries([...names].map((name) => [name, merge(below[name], over[name])]));
}

function isGroup(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
