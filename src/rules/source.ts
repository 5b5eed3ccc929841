import type { HeaderPairs, Policy, Source } from "../model.js";
import { headerValues } from "./headers.js";
import { type JsonDocument, valueAt } from "./json.js";

/** What sources are read from. */
export interface SourceInput {
  readonly rawHeaders: HeaderPairs;
  /** Without the question mark; `undefined` where there is none. */
  readonly query: string | undefined;
  /** Of the route's pattern, as `Match` has them. */
  readonly params: Readonly<Record<string, string>>;
  /** The body, when it is JSON; only asked for when a source needs it (`jsonOnce`). */
  readonly json: () => JsonDocument | undefined;
}

/** Every value the source has, in order, none when it is absent; or why that cannot be said. */
export type SourceReading = { readonly values: readonly string[] } | { readonly defect: string };

/**
 * Header values are as sent. Query names and values are decoded as forms are (`+` is a space), so that one value has one
 * spelling. Of a body, a string by its value or a number by its source text; anything else there is as good as absent.
 */
export function readSource(source: Source, input: SourceInput): SourceReading {
  switch (source.from) {
    case "header":
      return { values: headerValues(input.rawHeaders, source.name) };
    case "query":
      return queryValues(input.query, source.name);
    case "path": {
      const value = input.params[source.name];
      return value === undefined ? { defect: "is not valid UTF-8" } : { values: [value] };
    }
    case "body": {
      const document = input.json();
      const value = document === undefined ? undefined : valueAt(document.root, source.pointer);
      if (value === "repeated") return { defect: "stands in the body twice" };
      if (value?.kind === "string") return { values: [value.value] };
      return { values: value?.kind === "number" ? [value.text] : [] };
    }
  }
}

/** As it is written in the configuration. */
export function sourceName(source: Source): string {
  if (source.from !== "body") return `${source.from}:${source.name}`;
  return `body:${source.pointer.map((token) => `/${token.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("")}`;
}

/** Whether key or scope cannot be read before the body is. */
export function needsBody(policy: Policy): boolean {
  return policy.key.sources.some(isInBody) || policy.scope.some(isInBody);
}

function isInBody(source: Source): boolean {
  return source.from === "body";
}

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

function queryValues(query: string | undefined, name: string): SourceReading {
  const values: string[] = [];
  if (query === undefined) return { values };
  for (const pair of query.split("&")) {
    const [rawName, rawValue] = splitPair(pair);
    if (formDecoded(rawName) !== name) continue;
    const value = formDecoded(rawValue);
    if (value === undefined) return { defect: "is not properly percent-encoded" };
    values.push(value);
  }
  return { values };
}
