import type { HeaderPairs, Policy, Source } from "../model.js";
import { headerValue, headerValues, trimSpace } from "./headers.js";
import { isUtf8, JsonBody, scalarText } from "./json.js";
import { pairValues } from "./pairs.js";

/** What sources are read from. */
export interface SourceInput {
  readonly rawHeaders: HeaderPairs;
  /** Lower case, without port. */
  readonly host: string;
  /** Without the question mark; `undefined` where there is none. */
  readonly query: string | undefined;
  /** Of the route's pattern, as `Match` has them. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: BodyReader;
}

/** Every value the source has, in order, none when it is absent; or why that cannot be said. */
export type SourceReading = { readonly values: readonly string[] } | { readonly defect: string };

/**
 * A body as sources and probes read it. Its content coding is taken off; `undefined` where that cannot be done. Nothing
 * is parsed before it is asked for.
 */
export class BodyReader {
  #json: JsonBody | undefined;

  constructor(
    readonly bytes: Buffer | undefined,
    private readonly rawHeaders: HeaderPairs,
  ) {}

  /** Of a body that is no JSON, nothing. */
  get json(): JsonBody {
    this.#json ??= new JsonBody(this.bytes ?? emptyBody);
    return this.#json;
  }

  /** Of a body that is no urlencoded form, by its `Content-Type`, nothing. */
  formValues(name: string): SourceReading {
    const { bytes } = this;
    if (bytes === undefined || !isForm(this.rawHeaders)) return { values: [] };
    return isUtf8(bytes) ? pairValues(bytes.toString(), name) : { defect: "is in a form that is not valid UTF-8" };
  }
}

const emptyBody = Buffer.alloc(0);

/**
 * Header and cookie values are as sent. Names and values of queries and forms are decoded (`+` is a space), so that one
 * value has one spelling. Of a JSON body, a string by its value or a number by its source text; anything else there is as
 * good as absent.
 */
export function readSource(source: Source, input: SourceInput): SourceReading {
  switch (source.from) {
    case "header":
      return { values: headerValues(input.rawHeaders, source.name) };
    case "query":
      return pairValues(input.query, source.name);
    case "path": {
      const value = input.params[source.name];
      return value === undefined ? { defect: "is not valid UTF-8" } : { values: [value] };
    }
    case "cookie":
      return { values: cookieValues(input.rawHeaders, source.name) };
    case "form":
      return input.body.bytes === undefined ? undecodableBody : input.body.formValues(source.name);
    case "body": {
      if (input.body.bytes === undefined) return undecodableBody;
      const value = input.body.json.valueAt(source.pointer);
      if (value === "repeated") return { defect: "stands in the body twice" };
      const text = scalarText(value);
      return { values: text === undefined ? [] : [text] };
    }
  }
}

const undecodableBody = { defect: "cannot be read: the body's Content-Encoding cannot be decoded" };

/** As it is written in the configuration. */
export function sourceName(source: Source): string {
  if (source.from !== "body") return `${source.from}:${source.name}`;
  return `body:${source.pointer.map((token) => `/${token.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("")}`;
}

/** Whether key or scope cannot be read before the body is. */
export function needsBody(policy: Policy): boolean {
  return policy.key.sources.some(isInBody) || policy.scope.some(isInBody);
}

function isInBody({ from }: { readonly from: string }): boolean {
  return from === "body" || from === "form";
}

function isForm(pairs: HeaderPairs): boolean {
  const type = headerValue(pairs, "content-type") ?? "";
  return trimSpace(type.split(";", 1)[0]!).toLowerCase() === "application/x-www-form-urlencoded";
}

/** RFC 6265 §4.2.1, in whatever number of lines (RFC 9113 §8.2.3 allows several). Names are compared with their letter case. */
function cookieValues(pairs: HeaderPairs, name: string): string[] {
  const values: string[] = [];
  for (const line of headerValues(pairs, "cookie")) {
    for (const pair of line.split(";")) {
      const equals = pair.indexOf("=");
      if (equals >= 0 && trimSpace(pair.slice(0, equals)) === name) values.push(trimSpace(pair.slice(equals + 1)));
    }
  }
  return values;
}
