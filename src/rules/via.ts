import type { HeaderPairs } from "../model.js";
import { headerValue, trimSpace } from "./headers.js";

/**
 * Whether a message has passed the gateway of this pseudonym before (RFC 9110 §7.6.3). `via`: values of `Via`, members of
 * the form `protocol received-by [comment]`.
 */
export function hasPassed(via: readonly string[], pseudonym: string): boolean {
  return via.some((value) => value.split(/[\s,]+/).includes(pseudonym));
}

/** Two gateways with a store each are no loop, but look like one where their stores have the same address. */
export const loopDetail =
  "This request has passed this gateway before: its Via names it. A route's upstream leads back here. Nothing was claimed or sent. Two gateways in a row need different stores or different values of store.keyPrefix.";

/**
 * How often a request may still be forwarded (RFC 9110 §7.6.2): read for OPTIONS and TRACE only. `undefined`: as often as
 * it takes, also where the value is no number.
 */
export function maxForwards(method: string, rawHeaders: HeaderPairs): number | undefined {
  if (method !== "OPTIONS" && method !== "TRACE") return undefined;
  const value = trimSpace(headerValue(rawHeaders, "max-forwards") ?? "");
  return /^[0-9]{1,9}$/.test(value) ? Number(value) : undefined;
}
