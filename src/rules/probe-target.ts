import { type JsonBody, type Pointer, scalarText } from "./json.js";

/** What a probe's placeholders stand for. */
export interface ProbeInput {
  /** As `readKey` gives them. */
  readonly key: readonly string[];
  readonly params: Readonly<Record<string, string>>;
  readonly body: { readonly json: JsonBody };
}

/**
 * A probe's URL with its placeholders filled in: `{key}` (the values of several sources divided by commas), `{path.NAME}`
 * and `{body:/pointer}`, percent-encoded so that no value can change the URL's structure. `undefined` when the probe cannot be asked: a value is
 * absent, empty or no Unicode text, stands before the path, or would make a dot segment, for which a URL has no
 * other spelling.
 */
export function probeTarget(template: string, input: ProbeInput): string | undefined {
  const pathStart = template.indexOf("/", template.indexOf("://") + 3);
  let expanded = "";
  let at = 0;
  for (const placeholder of template.matchAll(placeholders)) {
    const value = encoded(valuesOf(placeholder[1]!, input));
    if (value === undefined || pathStart < 0 || placeholder.index < pathStart) return undefined;
    expanded += template.slice(at, placeholder.index) + value;
    at = placeholder.index + placeholder[0].length;
  }
  expanded += template.slice(at);
  return /\/\.{1,2}(?:[/?#]|$)/.test(expanded.split(/[?#]/, 1)[0]!) ? undefined : expanded;
}

/** Whether the probe asks with something from the request's body. */
export function probeNeedsBody(template: string): boolean {
  return template.includes("{body:");
}

const placeholders = /\{([^{}]*)\}/g;

function valuesOf(placeholder: string, input: ProbeInput): readonly (string | undefined)[] {
  if (placeholder === "key") return input.key;
  if (placeholder.startsWith("path.")) return [input.params[placeholder.slice("path.".length)]];
  if (!placeholder.startsWith("body:")) return [undefined];
  return [scalarText(input.body.json.valueAt(tokensOf(placeholder.slice("body:".length))))];
}

function tokensOf(pointer: string): Pointer {
  return pointer
    .split("/")
    .slice(1)
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function encoded(values: readonly (string | undefined)[]): string | undefined {
  const parts: string[] = [];
  for (const value of values) {
    if (value === undefined || value === "") return undefined;
    try {
      parts.push(encodeURIComponent(value));
    } catch {
      // A lone surrogate.
      return undefined;
    }
  }
  return parts.length === 0 ? undefined : parts.join(",");
}
