import type { TextForm } from "./form.js";
import { parsePointer } from "./source.js";
import { hasCredentials, httpUrl } from "./url-form.js";

/** An absolute http(s) URL with `{key}`, `{path.NAME}` and `{body:/pointer}` in its path or query. */
export const probeUrl: TextForm = {
  pattern: "^([hH][tT][tT][pP][sS]?://|\\$\\{)",
  problem(value) {
    // A placeholder in the host would let a request choose whom the gateway calls.
    const origin = /^[a-z][a-z0-9+.-]*:\/\/[^/]*/i.exec(value)?.[0] ?? "";
    if (/[{}]/.test(origin)) return "takes placeholders only behind its host and a slash";
    const url = httpUrl(value.replace(/\{[^{}]*\}/g, "x"));
    if (typeof url === "string") return url;
    if (hasCredentials(url)) return "may not hold a user or a password";
    if (url.hash !== "") return "may not hold a fragment";
    if (/[{}]/.test(value.replace(/\{[^{}]*\}/g, "")))
      return "holds a single { or }; written literally they are %7B and %7D";
    for (const [, inner] of value.matchAll(/\{([^{}]*)\}/g)) {
      const problem = placeholderProblem(inner as string);
      if (problem !== undefined) return problem;
    }
    return undefined;
  },
};

/** The names of its `{path.NAME}`. */
export function pathPlaceholders(url: string): readonly string[] {
  return [...url.matchAll(/\{path\.([\w-]+)\}/g)].map(([, name]) => name as string);
}

function placeholderProblem(inner: string): string | undefined {
  if (inner === "key" || /^path\.[\w-]+$/.test(inner)) return undefined;
  if (inner.startsWith("body:")) {
    const pointer = parsePointer(inner.slice("body:".length));
    return pointer.ok ? undefined : `{${inner}}: ${pointer.message}`;
  }
  return `{${inner}} is not a placeholder; there are {key}, {path.NAME} and {body:/pointer}`;
}
