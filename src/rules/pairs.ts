/** `name=value&name=value`: queries and urlencoded forms. */
import type { Framable } from "./frame.js";

/** Every value under this name, in order, decoded; or why that cannot be said. */
export function pairValues(pairs: string | undefined, name: string): PairValues {
  const values: string[] = [];
  if (pairs === undefined) return { values };
  for (const pair of pairs.split("&")) {
    const [rawName, rawValue] = splitPair(pair);
    if (formDecoded(rawName) !== name) continue;
    const value = formDecoded(rawValue);
    if (value === undefined) return { defect: "is not properly percent-encoded" };
    values.push(value);
  }
  return { values };
}

export type PairValues = { readonly values: readonly string[] } | { readonly defect: string };

/** The name and the value of one `name=value`, raw. */
export function splitPair(pair: string): [name: string, value: string] {
  const equals = pair.indexOf("=");
  return equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
}

/** Form decoding; `undefined` for what is no UTF-8 or no escape. */
export function formDecoded(text: string): string | undefined {
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  if (!spaced.includes("%")) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return undefined;
  }
}

/**
 * The pairs sorted by name, those of one name in their order: what two spellings of one query have in common. `isLeftOut`
 * is asked of each. A name without `=` is not one with an empty value, and what cannot be decoded counts as it is written.
 */
export function canonicalPairs(
  query: string | undefined,
  isLeftOut: ((name: string, value: string) => boolean) | undefined,
): readonly Framable[] {
  if (query === undefined || query === "") return noPairs;
  const found: (readonly [name: string, value: Framable])[] = [];
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const [rawName, rawValue] = splitPair(pair);
    const [name, value] = [formDecoded(rawName), formDecoded(rawValue)];
    if (isLeftOut?.(name ?? rawName, value ?? rawValue)) continue;
    if (name === undefined || value === undefined) found.push([name ?? rawName, [pair]]);
    else found.push([name, pair.length === rawName.length ? undefined : value]);
  }
  return found.length < 2 ? found : found.sort(([a], [b]) => (a === b ? 0 : a < b ? -1 : 1));
}

const noPairs: readonly Framable[] = [];
