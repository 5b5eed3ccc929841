import type { ScopeSource } from "../model.js";
import type { Framable } from "./frame.js";
import { readSource, type SourceInput, sourceName } from "./source.js";

/** Whose key it is: one list of values for each source, `undefined` for one that may be absent and is. */
export type ScopeReading =
  | { readonly kind: "scope"; readonly values: readonly Framable[] }
  | { readonly kind: "missing"; readonly detail: string };

/**
 * All values of a source count, in order. An empty value says no more about who asks than none: it is taken only where
 * the source may be absent.
 */
export function readScope(sources: readonly ScopeSource[], input: SourceInput): ScopeReading {
  const values: Framable[] = [];
  for (const source of sources) {
    const reading = readSource(source, input);
    if ("defect" in reading)
      return { kind: "missing", detail: `The scope in ${sourceName(source)} ${reading.defect}.` };
    if (!source.optional && isBlank(reading.values)) {
      return {
        kind: "missing",
        detail: `This request needs a value in ${sourceName(source)}: it says whose key it is.`,
      };
    }
    values.push(reading.values.length === 0 ? undefined : reading.values);
  }
  return { kind: "scope", values };
}

function isBlank(values: readonly string[]): boolean {
  for (const value of values) if (value !== "") return false;
  return true;
}
