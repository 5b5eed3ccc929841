/**
 * The text of a structured-field Item that is a String (RFC 9651 §3.3.3; parameters are allowed and ignored), unescaped.
 * `undefined` for every other value, lists of strings among them. No white space around it but spaces (§4.2).
 */
export function structuredString(value: string): string | undefined {
  const parsed = item.exec(value);
  if (parsed === null) return undefined;
  const inner = parsed[1]!.slice(1, -1);
  return inner.includes("\\") ? inner.replace(/\\(.)/g, "$1") : inner;
}

const string = `"(?:[ !#-[\\]-~]|\\\\["\\\\])*"`;

/** The bare items a parameter may have. */
const bareItem = [
  "-?[0-9]{1,15}(?:\\.[0-9]{1,3})?",
  string,
  "[A-Za-z*][!#$%&'*+\\-.^_`|~0-9A-Za-z:/]*",
  ":[A-Za-z0-9+/=]*:",
  "\\?[01]",
  "@-?[0-9]{1,15}",
  `%"(?:[ !#$&-~]|%[0-9a-f]{2})*"`,
].join("|");

const item = new RegExp(`^ *(${string})(?:; *[a-z*][a-z0-9_\\-.*]*(?:=(?:${bareItem}))?)* *$`);
