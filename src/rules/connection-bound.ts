import type { HeaderPairs } from "../model.js";
import { isNamed, sieveOf } from "./headers.js";

/**
 * Whether a message's fields speak of a scheme that authenticates its connection and not the request alone (RFC 4559;
 * NTLM likewise): what is sent over that connection later counts as sent by the same user, whatever it carries.
 */
export function bindsConnection(pairs: HeaderPairs): boolean {
  for (let i = 0; i < pairs.length; i += 2) {
    if (mayCarryScheme(pairs[i]!) && isSchemeField(pairs[i]!) && namesBindingScheme(pairs[i + 1]!)) return true;
  }
  return false;
}

/** A challenge may name several schemes in one field, so the name may stand anywhere in it. */
export function namesBindingScheme(value: string): boolean {
  return /\b(?:ntlm|negotiate|kerberos)\b/i.test(value);
}

const schemeFields = ["authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate"];
const mayCarryScheme = sieveOf(schemeFields);

function isSchemeField(name: string): boolean {
  return schemeFields.some((field) => isNamed(name, field));
}
