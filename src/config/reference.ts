import { under } from "./findings.js";
import { schema } from "./schema.js";
import type { Fields, Shape } from "./setting.js";

interface Row {
  readonly path: string;
  readonly type: string;
  readonly usual: string;
  readonly description: string;
}

const begin = /<!-- reference:.*-->\n/;
const end = "<!-- /reference -->";

/** A document with what stands between its two marks replaced. */
export function withReference(document: string, text: string): string {
  const from = begin.exec(document);
  const to = document.indexOf(end);
  if (from === null || to === -1) throw new Error("the document has no place for the reference");
  return `${document.slice(0, from.index + from[0].length)}\n${text}\n${document.slice(to)}`;
}

/** The reference of every setting, one table for each part of the file, in Markdown. */
export function reference(): string {
  const { fields } = schema as Shape & { kind: "group" };
  return Object.entries(fields)
    .map(([name, shape]) => `### \`${name}\`\n\n${shape.description}\n\n${table(rowsOf(shape, name))}`)
    .join("\n");
}

function table(rows: readonly Row[]): string {
  const head = ["| setting | value | default | |", "|---|---|---|---|"];
  const body = rows.map(
    ({ path, type, usual, description }) => `| \`${path}\` | ${type} | ${usual} | ${cell(description)} |`,
  );
  return `${[...head, ...body].join("\n")}\n`;
}

function rowsOf(shape: Shape, path: string): Row[] {
  if (shape.kind === "group") {
    const own = shape.optional || shape.sparse ? [rowOf(shape, path)] : [];
    // Told once, under `routes`.
    return path.startsWith("defaults.") ? own : [...own, ...fieldRows(shape.fields, path)];
  }
  if (shape.kind === "variants") {
    const choice = Object.keys(shape.variants);
    const selector = {
      path: under(path, shape.key),
      type: codes(choice),
      usual: code(shape.usual),
      description: shape.keyDescription,
    };
    return [selector, ...choice.flatMap((name) => fieldRows(shape.variants[name]?.fields ?? {}, path))];
  }
  if (shape.kind === "list" && shape.item.kind === "group") return fieldRows(shape.item.fields, `${path}[]`);
  return [rowOf(shape, path)];
}

function fieldRows(fields: Fields, path: string): Row[] {
  return Object.entries(fields).flatMap(([name, field]) => rowsOf(field, under(path, name)));
}

function rowOf(shape: Shape, path: string): Row {
  return { path, type: typeOf(shape), usual: usualOf(shape), description: shape.description };
}

function typeOf(shape: Shape): string {
  switch (shape.kind) {
    case "integer":
      return `${shape.min} to ${shape.max}`;
    case "flag":
      return "`true` or `false`";
    case "choice":
      return codes(shape.values);
    case "duration":
    case "size":
      return `${shape.kind}, ${code(shape.min)} to ${code(shape.max)}`;
    case "list":
      return `list of ${typeOf(shape.item)}`;
    case "either":
      return shape.of.map(typeOf).join(", or ");
    case "text":
      return shape.form?.noun ?? (shape.secret ? "text, secret" : "text");
    default:
      return "settings";
  }
}

function usualOf(shape: Shape): string {
  if (shape.default !== undefined)
    return code(
      JSON.stringify(shape.default)
        .replace(/^"(.*)"$/, "$1")
        .replace(/\\\\/g, "\\"),
    );
  if (shape.required) return "**required**";
  if (shape.kind === "group" && !shape.optional) return code("{}");
  return shape.absent ?? "absent";
}

function codes(values: readonly string[]): string {
  return values.map(code).join(", ");
}

function code(text: string): string {
  return text === "" ? "empty" : `\`${cell(text)}\``;
}

/** A bar would end the cell. */
function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
