import type { Policy, RecordKey, Source } from "../model.js";
import { type Framable, frame, sha256 } from "./frame.js";
import { trimSpace } from "./headers.js";
import { formDecoded, splitPair } from "./pairs.js";
import { readSource, type SourceInput, sourceName } from "./source.js";
import { structuredString } from "./structured-string.js";

/** What a request says about its idempotency key. */
export type KeyReading =
  /** `values` in the order of `sources`, where they were found; `raw` is what problem documents show. */
  | {
      readonly kind: "key";
      readonly values: readonly string[];
      readonly raw: string;
      readonly sources: readonly Source[];
    }
  /** There is none that can be used, and none is needed: the request is forwarded unprotected. */
  | { readonly kind: "none" }
  /** `raw` is `""` for an empty key, `undefined` when there was none at all. */
  | { readonly kind: "missing"; readonly detail: string; readonly raw: string | undefined }
  | { readonly kind: "invalid"; readonly detail: string; readonly raw: string | undefined };

type KeyPolicy = Policy["key"];
type Flaw = Extract<KeyReading, { kind: "missing" | "invalid" }>;

/**
 * A key that cannot be used is refused where one is required. Elsewhere it is as good as none: a client that agreed to
 * nothing may use the same field for something else.
 */
export function readKey(policy: KeyPolicy, input: SourceInput): KeyReading {
  const reading = policy.isFirstOf ? readFirst(policy, input) : readAll(policy, input);
  return reading.kind === "key" || policy.required ? reading : noKey;
}

const noKey: KeyReading = { kind: "none" };

/**
 * Of several sources all must be there; when one is absent the key is, when one is empty or wrong the key is. A mistake
 * beats an absence: what was sent is looked at first.
 */
function readAll(policy: KeyPolicy, input: SourceInput): KeyReading {
  const { sources } = policy;
  const values: string[] = [];
  let absent: Source | undefined;
  for (const source of sources) {
    const value = readOne(policy, source, input);
    if (value === undefined) absent ??= source;
    else if (typeof value !== "string") return value;
    else values.push(value);
  }
  if (absent !== undefined) return missing(sourceName(absent));
  return { kind: "key", values, raw: values.length === 1 ? values[0]! : values.join(", "), sources };
}

/** An empty source is passed over. The place is no part of the key: it is one key wherever it stands. */
function readFirst(policy: KeyPolicy, input: SourceInput): KeyReading {
  let empty: Flaw | undefined;
  for (const source of policy.sources) {
    const value = readOne(policy, source, input);
    if (typeof value === "string") return { kind: "key", values: [value], raw: value, sources: [source] };
    if (value?.kind === "missing") empty ??= value;
    else if (value !== undefined) return value;
  }
  return empty ?? missing(policy.sources.map(sourceName).join(" or "));
}

/** `undefined`: it is absent. */
function readOne(policy: KeyPolicy, source: Source, input: SourceInput): string | Flaw | undefined {
  const reading = readSource(source, input);
  if ("defect" in reading) return invalid(source, reading.defect, undefined);
  if (reading.values.length > 1) return invalid(source, "is given more than once", reading.values.join(", "));
  const sent = reading.values[0];
  if (sent === undefined) return undefined;
  const value = source.from === "header" ? fieldValue(sent, policy.strict) : sent;
  if (value === undefined) return invalid(source, "is not a quoted structured-field string", sent);
  if (value === "") return { kind: "missing", detail: `The key in ${sourceName(source)} is empty.`, raw: "" };
  const defect = defectOf(value, policy);
  return defect === undefined ? value : invalid(source, defect, sent);
}

/** What a store is addressed by. A scope value that is absent is not one that is empty. */
export function recordKey(namespace: string, scope: readonly Framable[], key: readonly string[]): RecordKey {
  return sha256(frame([namespace, scope, key])) as RecordKey;
}

/** With `forward: false`: the header fields, in lower case, that the upstream does not see. */
export function withheldHeaders(policy: KeyPolicy): readonly string[] {
  if (policy.forward) return [];
  return policy.sources.flatMap((source) => (source.from === "header" ? [source.name.toLowerCase()] : []));
}

/** With `forward: false`: the target without the key's query parameters, every other octet as received. */
export function forwardedTarget(policy: KeyPolicy, target: string): string {
  const mark = target.indexOf("?");
  if (policy.forward || mark < 0) return target;
  const names = policy.sources.flatMap((source) => (source.from === "query" ? [source.name] : []));
  if (names.length === 0) return target;
  const pairs = target.slice(mark + 1).split("&");
  const kept = pairs.filter((pair) => {
    const name = formDecoded(splitPair(pair)[0]);
    return name === undefined || !names.includes(name);
  });
  if (kept.length === pairs.length) return target;
  return kept.length === 0 ? target.slice(0, mark) : `${target.slice(0, mark)}?${kept.join("&")}`;
}

function missing(places: string): Flaw {
  return { kind: "missing", detail: `This request needs an idempotency key in ${places}.`, raw: undefined };
}

function invalid(source: Source, defect: string, raw: string | undefined): Flaw {
  return { kind: "invalid", detail: `The key in ${sourceName(source)} ${defect}.`, raw };
}

/** The quoted form and the plain one are the same key, unless only the quoted one is allowed. */
function fieldValue(sent: string, strict: boolean): string | undefined {
  const value = trimSpace(sent);
  if (strict) return value === "" ? value : structuredString(value);
  return value.charCodeAt(0) === 0x22 ? (structuredString(value) ?? value) : value;
}

/** Length first: it bounds what the pattern costs. */
function defectOf(value: string, policy: KeyPolicy): string | undefined {
  if (value.length > policy.maxLength) return `is longer than ${policy.maxLength} characters`;
  if (isTemplate(value)) return "is a template that nothing was filled into";
  return policy.pattern.test(value) ? undefined : "has characters, or a form, that are not allowed";
}

/** What programs send where a variable was empty or its place was never filled: one key for all their requests. */
function isTemplate(value: string): boolean {
  if (value.includes("{") && /\{\{.*\}\}|\$\{.*\}/s.test(value)) return true;
  return value.length <= longestWord && unfilled.test(value);
}

const unfilled = /^(?:undefined|null|nan|none|nil|<nil>|<null>|\(null\)|\[object \w+\])$/i;
const longestWord = 24;
