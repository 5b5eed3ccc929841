import type { Policy, RecordKey, Source } from "../model.js";
import { type Framable, frame, sha256 } from "./frame.js";
import { trimSpace } from "./headers.js";
import { formDecoded, readSource, type SourceInput, sourceName, splitPair } from "./source.js";
import { structuredString } from "./structured-string.js";

/** What a request says about its idempotency key. */
export type KeyReading =
  /** `values` in the order of the sources; `raw` is what problem documents show. */
  | { readonly kind: "key"; readonly values: readonly string[]; readonly raw: string }
  /** There is none, and none is needed: the request is forwarded unprotected. */
  | { readonly kind: "none" }
  /** `raw` is `""` for an empty key, `undefined` when there was none at all. */
  | { readonly kind: "missing"; readonly detail: string; readonly raw: string | undefined }
  | { readonly kind: "invalid"; readonly detail: string; readonly raw: string | undefined };

type KeyPolicy = Policy["key"];

/**
 * Of several sources all must be there; when one is absent the key is, when one is empty or wrong the key is. A mistake
 * beats an absence: what was sent is looked at first. An empty key is a client's mistake even where none is required.
 */
export function readKey(policy: KeyPolicy, input: SourceInput): KeyReading {
  const values: string[] = [];
  let absent: Source | undefined;
  for (const source of policy.sources) {
    const reading = readSource(source, input);
    if ("defect" in reading) return invalid(source, reading.defect, undefined);
    if (reading.values.length > 1) return invalid(source, "is given more than once", reading.values.join(", "));
    const sent = reading.values[0];
    if (sent === undefined) {
      absent ??= source;
      continue;
    }
    const value = source.from === "header" ? fieldValue(sent, policy.strict) : sent;
    if (value === undefined) return invalid(source, "is not a quoted structured-field string", sent);
    if (value === "") return { kind: "missing", detail: `The key in ${sourceName(source)} is empty.`, raw: "" };
    const defect = defectOf(value, policy);
    if (defect !== undefined) return invalid(source, defect, sent);
    values.push(value);
  }
  if (absent === undefined) return { kind: "key", values, raw: values.length === 1 ? values[0]! : values.join(", ") };
  if (!policy.required) return { kind: "none" };
  return { kind: "missing", detail: `This request needs an idempotency key in ${sourceName(absent)}.`, raw: undefined };
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

function invalid(source: Source, defect: string, raw: string | undefined): KeyReading {
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
  return policy.pattern.test(value) ? undefined : "has characters, or a form, that are not allowed";
}
