import { policyPath, readyPath } from "../problem.js";
import type { TextForm } from "./form.js";

/** `/v1/payments`, `/v1/orders/:id`, `/v1/*`. */
export const pathPattern: TextForm = {
  pattern: "^/",
  problem(value) {
    if (!value.startsWith("/")) return `must begin with "/"${value === "*" ? "; write /* for every path" : ""}`;
    return alphabetProblem(value) ?? segmentProblem(value.slice(1).split("/"), value);
  },
};

/** A request written like this is refused before it is matched, or loses that part: the route would never be taken. */
function alphabetProblem(path: string): string | undefined {
  if (/[?#]/.test(path)) return "takes a path alone, without query or fragment";
  if (path.includes(";")) return "may not hold ;parameters: they are dropped before a path is matched";
  if (/%(?![0-9a-f]{2})/i.test(path)) return "holds a % that is not followed by two hexadecimal digits";
  if (/\\|%2f|%5c|%00/i.test(path)) return "holds a backslash, %2f, %5c or %00: such requests are refused as ambiguous";
  if (/[\s\p{Cc}]/u.test(path)) return "holds a space or a control character, which is written as %20 and the like";
  return undefined;
}

function segmentProblem(segments: readonly string[], path: string): string | undefined {
  const names = new Set<string>();
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    if (segment === "" && !isLast) return "holds //: such requests are refused as ambiguous";
    if (/^(\.|%2e){1,2}$/i.test(segment))
      return `holds the dot segment ${segment}: such requests are refused as ambiguous`;
    if (segment.includes("*") && !(isLast && segment === "*")) return "takes * only alone and at the end, as in /v1/*";
    if (!segment.startsWith(":")) continue;
    const name = segment.slice(1);
    if (!/^\w[\w-]*$/.test(name)) return `${JSON.stringify(segment)} is not a parameter such as :id`;
    if (names.has(name)) return `names the parameter :${name} twice`;
    names.add(name);
  }
  return path === policyPath || path === readyPath ? "is answered by the gateway itself" : undefined;
}

export function parameterNames(path: string): readonly string[] {
  return path
    .split("/")
    .filter((segment) => segment.startsWith(":"))
    .map((segment) => segment.slice(1));
}

/** Equal for two patterns that match the same requests, as far as a mistake may be told from it. */
export function canonicalPattern(path: string, isCaseSensitive: boolean): string {
  const segments = path.split("/").map((segment) => {
    if (segment.startsWith(":")) return ":";
    const normal = segment.replace(/%[0-9a-f]{2}/gi, normalEscape).replace(/[^\x21-\x7e]+/g, encodeURIComponent);
    return isCaseSensitive ? normal : normal.toLowerCase();
  });
  if (segments.length > 2 && segments.at(-1) === "") segments.pop();
  return segments.join("/");
}

/** Unreserved characters and the delimiters without a meaning in a path stand for themselves (RFC 3986 §2.3, §3.3). */
function normalEscape(written: string): string {
  const character = String.fromCharCode(Number.parseInt(written.slice(1), 16));
  return /[\w.~!$&'()+,=@-]/.test(character) ? character : written.toUpperCase();
}
