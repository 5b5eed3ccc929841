import type { ScopeSource, Source } from "../model.js";
import { headerName, type TextForm } from "./form.js";
import { nearest } from "./nearest.js";
import { type Parsed, refuse } from "./parsed.js";

const kinds = ["header", "query", "path", "cookie", "form", "body"];

/** `header:NAME`, `query:NAME`, `path:NAME`, `cookie:NAME`, `form:NAME`, `body:/json/pointer`. */
export function parseSource(written: string): Parsed<Source> {
  const colon = written.indexOf(":");
  const from = written.slice(0, Math.max(colon, 0));
  const rest = written.slice(colon + 1);
  if (!kinds.includes(from)) return refuse(unknownSource(written, from, rest));
  if (rest === "")
    return refuse(`${written} names nothing; ${from === "body" ? "write body:/pointer" : `write ${from}:NAME`}`);
  if (from === "body") {
    const pointer = parsePointer(rest);
    return pointer.ok ? { ok: true, value: { from, pointer: pointer.value } } : pointer;
  }
  const problem = from === "header" || from === "cookie" ? headerName.problem(rest) : undefined;
  if (problem !== undefined)
    return refuse(from === "header" ? problem : `${JSON.stringify(rest)} is not a cookie name`);
  return { ok: true, value: { from: from as Exclude<Source["from"], "body">, name: rest } };
}

/** As above, or `client` or `host`; a `?` at the end says that it may be absent. `withHost`: the route is for every host. */
export function parseScopeSource(written: string, withHost = true): Parsed<ScopeSource> {
  const optional = written.endsWith("?");
  const place = optional ? written.slice(0, -1) : written;
  if (place === "client") return { ok: true, value: { from: "client", withHost, optional } };
  if (place === "host") return { ok: true, value: { from: "host", optional } };
  const source = parseSource(place);
  if (source.ok) return { ok: true, value: { ...source.value, optional } };
  const near = place.includes(":") ? undefined : nearest(place, ["client", "host"]);
  return near === undefined ? source : refuse(`${JSON.stringify(place)} is not a scope; did you mean ${near}?`);
}

/** RFC 6901 §3, to its unescaped tokens. The pointer to the whole document is no use here. */
export function parsePointer(written: string): Parsed<readonly string[]> {
  if (!written.startsWith("/")) {
    return refuse(`${JSON.stringify(written)} is not a JSON pointer; did you mean /${written.replaceAll(".", "/")}?`);
  }
  if (/~(?![01])/.test(written)) return refuse(`in a JSON pointer ~ is written ~0 and / is written ~1`);
  const tokens = written.slice(1).split("/");
  return { ok: true, value: tokens.map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~")) };
}

function unknownSource(written: string, from: string, rest: string): string {
  const expected = "expected header:NAME, query:NAME, path:NAME, cookie:NAME, form:NAME or body:/pointer";
  if (from === "" && headerName.problem(written) === undefined) return `${expected}; did you mean header:${written}?`;
  const near = from === "" ? undefined : nearest(from, kinds);
  return `${expected}, got ${JSON.stringify(written)}${near ? `; did you mean ${near}:${rest}?` : ""}`;
}

export const keySource: TextForm = {
  pattern: "^(header|query|path|cookie|form|body):.",
  problem(value) {
    const source = parseSource(value);
    if (value.endsWith("?") && parseScopeSource(value).ok) {
      return `a key takes no "?"; write ${value.slice(0, -1)} and key.required: false`;
    }
    return source.ok ? undefined : source.message;
  },
};

export const scopeSource: TextForm = {
  pattern: "^((header|query|path|cookie|form|body):.|(client|host)\\??$)",
  problem(value) {
    const source = parseScopeSource(value);
    return source.ok ? undefined : source.message;
  },
};

/** Where it is read when a key was born. */
export const birth: TextForm = {
  pattern: "^(key$|header:.)",
  problem(value) {
    if (value === "key") return undefined;
    if (value.startsWith("header:")) return headerName.problem(value.slice("header:".length));
    return `expected key or header:NAME, got ${JSON.stringify(value)}`;
  },
};

export const jsonPointer: TextForm = {
  pattern: "^(/([^~]|~[01])*)+$",
  problem(value) {
    const pointer = parsePointer(value);
    return pointer.ok ? undefined : pointer.message;
  },
};
