import type { ScopeSource } from "../model.js";
import { readCredential, stableCredential } from "./credential.js";
import type { Framable } from "./frame.js";
import { readSource, type SourceInput, sourceName } from "./source.js";

/** Whose key it is: what each source has, `undefined` for one that may be absent and is. */
export type ScopeReading =
  | {
      readonly kind: "scope";
      readonly values: readonly Framable[];
      /** The default scope found no credential, but a cookie that may be one, or a credential that is new in each request. */
      readonly isUncertain: boolean;
      /** No source identifies the client: all that have the key and an equal request share the answer. */
      readonly isAnybody: boolean;
    }
  | { readonly kind: "missing"; readonly detail: string };

/**
 * All values of a source count, in order. An empty value says no more about who asks than none: it is taken only where
 * the source may be absent. A list without sources is the operator's word that all clients are one.
 */
export function readScope(sources: readonly ScopeSource[], input: SourceInput): ScopeReading {
  const values: Framable[] = [];
  let isUncertain = false;
  let isAnybody = sources.length > 0;
  for (const source of sources) {
    if (source.from === "client") {
      const credential = readCredential(input.rawHeaders);
      isUncertain ||= credential.isUncertain;
      if (credential.found !== undefined || source.withHost) isAnybody = false;
      values.push([credential.found, source.withHost ? input.host : undefined]);
    } else if (source.from === "host") {
      isAnybody = false;
      values.push([input.host]);
    } else {
      const reading = readSource(source, input);
      if ("defect" in reading)
        return { kind: "missing", detail: `The scope in ${sourceName(source)} ${reading.defect}.` };
      const isAbsent = isBlank(reading.values);
      if (!source.optional && isAbsent) {
        const detail = `This request needs a value in ${sourceName(source)}: it says whose key it is.`;
        return { kind: "missing", detail };
      }
      if (!isAbsent) isAnybody = false;
      values.push(reading.values.length === 0 ? undefined : stable(source, reading.values));
    }
  }
  return { kind: "scope", values, isUncertain, isAnybody };
}

/** A signature that is new in each attempt does not identify the client, by whatever source it was read. */
function stable(source: ScopeSource, values: readonly string[]): readonly string[] {
  const isCredential = source.from === "header" && source.name.toLowerCase() === "authorization";
  return isCredential ? values.map(stableCredential) : values;
}

function isBlank(values: readonly string[]): boolean {
  for (const value of values) if (value !== "") return false;
  return true;
}
