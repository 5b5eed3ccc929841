import { durationPattern, sizePattern } from "./duration.js";
import { schema } from "./schema.js";
import type { Common, Fields, ListShape, Shape, TextShape, VariantsShape } from "./setting.js";

type Json = Record<string, unknown>;

/** A value that the environment makes is of no type before it is expanded: editors have to let it pass anywhere. */
const expansion = { $ref: "#/$defs/expansion" };

/** The configuration file for editors: JSON Schema, draft 2020-12. `check` knows more, but nothing else. */
export function jsonSchema(): Json {
  const definitions: Json = {
    expansion: { type: "string", pattern: "\\$\\{", description: "A value from the environment." },
  };
  const root = describe(schema, definitions, false);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "idempotency-gateway",
    ...root,
    type: "object",
    $defs: definitions,
  };
}

/** `sparse`: within something that `defaults` may complete, so nothing is required. */
function describe(shape: Shape, definitions: Json, sparse: boolean): Json {
  const said = annotations(shape);
  switch (shape.kind) {
    case "text":
      return { type: "string", ...said, ...textRules(shape) };
    case "integer":
      return { ...said, anyOf: [{ type: "integer", minimum: shape.min, maximum: shape.max }, expansion] };
    case "flag":
      return { ...said, anyOf: [{ type: "boolean" }, expansion] };
    case "choice":
      return { ...said, anyOf: [{ enum: shape.values }, expansion] };
    case "duration":
      return { ...said, anyOf: [{ type: "string", pattern: durationPattern }, { const: 0 }, expansion] };
    case "size":
      return { ...said, anyOf: [{ type: "string", pattern: sizePattern }, { type: "integer", minimum: 0 }, expansion] };
    case "list":
      return { type: "array", ...said, ...listRules(shape, definitions, sparse) };
    case "map": {
      const item = describe(shape.item, definitions, sparse);
      return { ...said, ...groupOf(Object.fromEntries(shape.keys.map((key) => [key, item]))) };
    }
    case "either":
      return { ...said, anyOf: shape.of.map((option) => describe(option, definitions, sparse)) };
    case "variants":
      return { ...said, anyOf: variantsOf(shape, definitions) };
    case "group": {
      const own = { ...said, ...fieldsOf(shape.fields, definitions, sparse || shape.sparse === true) };
      if (shape.id === undefined) return own;
      definitions[shape.id] ??= { ...own, description: undefined };
      return { $ref: `#/$defs/${shape.id}`, ...said };
    }
  }
}

function annotations({ description, default: usual }: Common): Json {
  return { description, ...(usual === undefined ? {} : { default: usual }) };
}

function textRules({ form, minLength = 1, maxLength }: TextShape): Json {
  return {
    ...(minLength === 0 ? {} : { minLength }),
    ...(maxLength === undefined ? {} : { anyOf: [{ maxLength }, expansion] }),
    ...(form?.pattern === undefined ? {} : { pattern: `${form.pattern}|\\$\\{` }),
  };
}

function listRules({ item, minItems }: ListShape, definitions: Json, sparse: boolean): Json {
  return {
    items: describe(item, definitions, sparse),
    ...(minItems === undefined ? {} : { minItems }),
    ...(item.kind === "group" ? {} : { uniqueItems: true }),
  };
}

function fieldsOf(fields: Fields, definitions: Json, sparse: boolean): Json {
  const properties = Object.entries(fields).map(([name, field]) => [name, describe(field, definitions, sparse)]);
  const required = sparse ? [] : Object.keys(fields).filter((name) => fields[name]?.required);
  return { ...groupOf(Object.fromEntries(properties)), ...(required.length === 0 ? {} : { required }) };
}

/** A group with nothing under it is an empty one. */
function groupOf(properties: Json): Json {
  return { type: ["object", "null"], properties, additionalProperties: false };
}

function variantsOf(shape: VariantsShape, definitions: Json): Json[] {
  return Object.entries(shape.variants).map(([name, variant]) => {
    const selector: Json = {
      description: shape.keyDescription,
      ...(name === shape.usual ? { default: name } : {}),
      anyOf: [{ const: name }, expansion],
    };
    const branch = fieldsOf(variant.fields, definitions, false);
    const properties = { [shape.key]: selector, ...(branch.properties as Json) };
    const required = [
      ...(name === shape.usual ? [] : [shape.key]),
      ...((branch.required as string[] | undefined) ?? []),
    ];
    return { description: variant.description, ...groupOf(properties), ...(required.length === 0 ? {} : { required }) };
  });
}
