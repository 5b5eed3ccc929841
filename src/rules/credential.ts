import type { HeaderPairs } from "../model.js";
import { isNamed, sieveOf } from "./headers.js";

/** Fields that identify the client, the one that decides first. */
export const credentialFields = [
  "authorization",
  "x-api-key",
  "api-key",
  "x-auth-token",
  "x-access-token",
  "ocp-apim-subscription-key",
] as const;

/** What identifies the client, as far as the header says. */
export interface Credential {
  /** The field it was found in, and its values; `undefined`: in none. */
  readonly found: readonly [field: string, values: readonly string[]] | undefined;
  /** The one field that may say it is a cookie, or a token that is new in each request: retries may not be known again. */
  readonly isUncertain: boolean;
}

/** One pass over the fields; one that is empty says nothing. */
export function readCredential(pairs: HeaderPairs): Credential {
  let rank: number = credentialFields.length;
  let values: string[] = [];
  let hasCookie = false;
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i]!;
    if (!mayBeCredential(name)) continue;
    hasCookie ||= isNamed(name, "cookie");
    const found = credentialFields.findIndex((field) => isNamed(name, field));
    const value = pairs[i + 1]!;
    if (found < 0 || found > rank || value === "") continue;
    if (found < rank) values = [];
    rank = found;
    values.push(found === 0 ? stableCredential(value) : value);
  }
  const field = credentialFields[rank];
  if (field === undefined) return { found: undefined, isUncertain: hasCookie };
  return { found: [field, values], isUncertain: rank === 0 && values.some(isOfConnection) };
}

const mayBeCredential = sieveOf([...credentialFields, "cookie"]);

/** Their tokens are new with each connection, and nothing in them can be read. */
function isOfConnection(value: string): boolean {
  return /^(?:negotiate|ntlm|kerberos)(?: |$)/i.test(value);
}

/**
 * The part of an `Authorization` that is the same in each retry. Schemes that sign each request have one that identifies the client, and
 * the rest is new in each attempt; where that part is not found, and of all other schemes, it is the whole value.
 */
export function stableCredential(value: string): string {
  if (value.startsWith("Bearer ") || value.startsWith("Basic ")) return value;
  const end = value.indexOf(" ");
  if (end <= 0) return value;
  const scheme = value.slice(0, end).toLowerCase();
  const rest = value.slice(end + 1);
  const parts = stableParts(scheme, rest);
  return parts === undefined ? value : `${scheme} ${JSON.stringify(parts)}`;
}

/** Parameters that identify the client, of schemes made of `name="value"`. */
const identityParameters: ReadonlyMap<string, readonly string[]> = new Map([
  ["digest", ["username", "username*", "realm"]],
  ["hawk", ["id", "app"]],
  ["oauth", ["oauth_consumer_key", "oauth_token"]],
  ["signature", ["keyid"]],
  ["hmac", ["username", "keyid", "id"]],
  ["mac", ["id"]],
  ["eg1-hmac-sha256", ["client_token", "access_token"]],
]);

/** `Scheme ID:signature`. */
const idBeforeColon: ReadonlySet<string> = new Set(["aws", "sharedkey", "sharedkeylite", "acs", "oss", "apiauth"]);

/** `AWS4-HMAC-SHA256 Credential=ID/date/region/…`, and those made after it. */
const credentialScheme = /^(?:aws4-|[a-z0-9]+-(?:hmac|rsa|ecdsa)-sha\d+|hmac-sha\d+)/;

function stableParts(scheme: string, rest: string): readonly string[] | undefined {
  if (idBeforeColon.has(scheme)) return rest.includes(":") ? [rest.slice(0, rest.indexOf(":"))] : undefined;
  const names = identityParameters.get(scheme);
  if (names !== undefined) {
    const parameters = parametersOf(rest);
    const found = names.filter((name) => parameters.has(name)).map((name) => `${name}=${parameters.get(name)}`);
    return found.length === 0 ? undefined : found;
  }
  if (!credentialScheme.test(scheme)) return undefined;
  const parameters = parametersOf(rest);
  const credential = parameters.get("credential") ?? parameters.get("access");
  return credential === undefined || credential === "" ? undefined : [credential.split("/", 1)[0]!];
}

/** Of `name=value` and `name="value"`, divided by commas, semicolons, `&` or spaces; the first of one name counts. */
function parametersOf(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [, name, quoted, plain] of text.matchAll(/([^\s,;&="]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;&"]*))/g)) {
    const lower = name!.toLowerCase();
    if (!found.has(lower)) found.set(lower, quoted === undefined ? plain! : quoted.replace(/\\(.)/g, "$1"));
  }
  return found;
}
