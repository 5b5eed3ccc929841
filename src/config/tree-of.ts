import type { Tree } from "./document.js";

const nowhere = { line: 1, column: 1 };

/** A value of JavaScript, read as if it stood in a file. */
export function treeOf(value: unknown): Tree {
  if (Array.isArray(value)) return { kind: "list", at: nowhere, items: value.map(treeOf) };
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([key, inner]) => ({ key, keyAt: nowhere, value: treeOf(inner) }));
    return { kind: "map", at: nowhere, entries };
  }
  const scalar = value as string | number | boolean | null;
  return { kind: "scalar", at: nowhere, value: scalar, source: String(scalar), expanded: false };
}
