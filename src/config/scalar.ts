import type { ScalarTree } from "./document.js";
import { parseDuration, parseSize } from "./duration.js";
import { nearest } from "./nearest.js";
import { type Parsed, refuse, valid } from "./parsed.js";
import type { ChoiceShape, IntegerShape, MeasureShape, Shape, TextShape } from "./setting.js";

export type ScalarShape = Extract<Shape, { kind: "text" | "integer" | "flag" | "choice" | "duration" | "size" }>;

/** One value by its declaration. What came from the environment has no YAML type: it is read as the setting's. */
export function readScalar(shape: ScalarShape, scalar: ScalarTree): Parsed<unknown> {
  switch (shape.kind) {
    case "text":
      return readText(shape, scalar);
    case "integer":
      return readInteger(shape, scalar);
    case "flag":
      return readFlag(scalar);
    case "choice":
      return readChoice(shape, scalar);
    default:
      return readMeasure(shape, scalar);
  }
}

/** The rules for a text itself, wherever it came from. */
export function checkText(shape: TextShape, value: string): Parsed<unknown> {
  const { minLength = 1, maxLength = Number.POSITIVE_INFINITY } = shape;
  if (value.length < minLength) return refuse("may not be empty");
  if (value.length > maxLength) return refuse(`may have ${maxLength} characters at most, and has ${value.length}`);
  const problem = shape.form?.problem(value);
  return problem === undefined ? { ok: true, value } : refuse(problem);
}

function readText(shape: TextShape, scalar: ScalarTree): Parsed<unknown> {
  const { value } = scalar;
  if (typeof value === "string") return checkText(shape, value);
  if (value === null) return refuse("expected text, got nothing");
  return refuse(
    `expected text, got ${shape.secret ? `a ${typeof value}` : `the ${typeof value} ${scalar.source}`}; put it in quotes`,
  );
}

function readInteger({ min, max }: IntegerShape, scalar: ScalarTree): Parsed<unknown> {
  const { value, expanded } = scalar;
  const isDigits = typeof value === "string" && /^-?\d+$/.test(value);
  const number = expanded && isDigits ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= min && number <= max) {
    return { ok: true, value: number };
  }
  const quotes = isDigits && !expanded ? "; leave out the quotes" : "";
  return refuse(`expected a whole number from ${min} to ${max}, got ${show(scalar)}${quotes}`);
}

function readFlag(scalar: ScalarTree): Parsed<unknown> {
  const { value, expanded } = scalar;
  if (typeof value === "boolean") return { ok: true, value };
  const word = typeof value === "string" ? value.toLowerCase() : "";
  if (expanded && (word === "true" || word === "false")) return { ok: true, value: word === "true" };
  // YAML 1.1 took these for booleans; 1.2 does not.
  const meant = ["yes", "on", "true"].includes(word) ? "true" : ["no", "off", "false"].includes(word) ? "false" : "";
  return refuse(
    `expected true or false, got ${show(scalar)}${meant ? `; did you mean ${meant}, without quotes?` : ""}`,
  );
}

function readChoice({ values }: ChoiceShape, scalar: ScalarTree): Parsed<unknown> {
  const { value } = scalar;
  if (typeof value === "string" && values.includes(value)) return { ok: true, value };
  const near = typeof value === "string" ? nearest(value, values) : undefined;
  return refuse(`expected ${either(values)}, got ${show(scalar)}${near ? `; did you mean ${near}?` : ""}`);
}

function readMeasure(shape: MeasureShape, scalar: ScalarTree): Parsed<unknown> {
  const parse = shape.kind === "duration" ? parseDuration : parseSize;
  const { value } = scalar;
  if (value === null || typeof value === "boolean") {
    return refuse(
      `expected a ${shape.kind} such as ${shape.kind === "duration" ? "30s" : "1MiB"}, got ${show(scalar)}`,
    );
  }
  const measured = parse(String(value));
  if (!measured.ok) return refuse(`${measured.message}${origin(scalar)}`);
  if (measured.value < valid(parse(shape.min))) return refuse(`must be at least ${shape.min}, got ${show(scalar)}`);
  if (measured.value > valid(parse(shape.max))) return refuse(`must be at most ${shape.max}, got ${show(scalar)}`);
  return measured;
}

/** A value as a message may repeat it. */
export function show(scalar: ScalarTree): string {
  const { value } = scalar;
  if (value === null) return "nothing";
  if (typeof value !== "string") return scalar.source;
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value) + origin(scalar);
}

function origin(scalar: ScalarTree): string {
  return scalar.expanded ? ` from ${scalar.source}` : "";
}

function either(values: readonly string[]): string {
  return values.length === 1 ? values.join() : `${values.slice(0, -1).join(", ")} or ${values.at(-1)}`;
}
