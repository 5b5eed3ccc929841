import type { AnswerVerdict, HeaderPairs, OutcomeRule } from "../model.js";
import { headerValues, trimSpace } from "./headers.js";
import { JsonBody } from "./json.js";

/** What can be read of an answer. The body of one that is passed on while it arrives is not here. */
export interface ReadableAnswer {
  readonly status: number;
  readonly headers: HeaderPairs;
  readonly trailers?: HeaderPairs;
  /** Decoded. `undefined`: not here, or not readable. */
  readonly body: Uint8Array | undefined;
}

/** What the first rule that fits says; `undefined`: none fits. */
export function ruleVerdict(answer: ReadableAnswer, rules: readonly OutcomeRule[]): AnswerVerdict | undefined {
  const json = new JsonBody(answer.body ?? nothing);
  return rules.find((rule) => fits(rule, answer, json))?.verdict;
}

const nothing = new Uint8Array(0);

function fits(rule: OutcomeRule, answer: ReadableAnswer, json: JsonBody): boolean {
  const { status, at, equals, isPresent } = rule;
  if (status !== null && !status.has(answer.status)) return false;
  if (at === null) return true;
  // A body that is not here may hold anything: nothing is said of it.
  if ("body" in at && answer.body === undefined) return false;
  const found = "header" in at ? fieldValues(answer, at.header) : bodyValues(json, at.body);
  if (!isPresent) return found.length === 0;
  return equals === null ? found.length > 0 : found.includes(equals);
}

function fieldValues({ headers, trailers = [] }: ReadableAnswer, name: string): readonly string[] {
  return [...headerValues(headers, name), ...headerValues(trailers, name)].map(trimSpace);
}

/** As texts. An object, an array and a member that is there twice are present, and equal to no text. */
function bodyValues(json: JsonBody, pointer: readonly string[]): readonly (string | undefined)[] {
  const value = json.valueAt(pointer);
  if (value === undefined) return [];
  return [value === "repeated" ? undefined : value.text];
}
