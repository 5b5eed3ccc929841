import { isNamed, sieveOf } from "./headers.js";
import { formDecoded, splitPair } from "./pairs.js";

/**
 * Fields that name another method: each makes some framework take a request for one of that method, so a request that has
 * any of them is unsafe whatever its own is. In a form's body (`_method`) it is not looked for.
 */
export const overrideHeaders = [
  "x-http-method-override",
  "x-http-method",
  "x-method-override",
  "x-http-verb-override",
  "x-http-verb",
  "x-verb-override",
  "x-original-method",
  "x-original-http-method",
  "x-forwarded-method",
  "x-forwarded-http-method",
];

const mayOverride = sieveOf(overrideHeaders);

export function isOverrideHeader(name: string): boolean {
  return mayOverride(name) && overrideHeaders.some((one) => isNamed(name, one));
}

/** Parameters that do the same, in lower case. */
const overrideParameters = ["_method", "$httpmethod", ...overrideHeaders];
/** Other words are values of something else that is called so. */
const unsafeMethods = ["POST", "PUT", "PATCH", "DELETE"];

/** The unsafe methods that a query names, in upper case. */
export function queryOverrides(query: string | undefined): readonly string[] {
  if (query === undefined || !/method|verb|%/i.test(query)) return noMethods;
  const found: string[] = [];
  for (const pair of query.split("&")) {
    const [rawName, rawValue] = splitPair(pair);
    if (!overrideParameters.includes(formDecoded(rawName)?.toLowerCase() ?? "")) continue;
    const method = formDecoded(rawValue)?.trim().toUpperCase() ?? "";
    if (unsafeMethods.includes(method)) found.push(method);
  }
  return found;
}

const noMethods: readonly string[] = [];
