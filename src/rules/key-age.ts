import type { HeaderPairs, KeyAge } from "../model.js";
import { headerValues, trimSpace } from "./headers.js";
import { instantOf } from "./instant.js";

/** Whether a key may begin a record, by when it was born. */
export type AgeReading = { readonly kind: "young" | "old" } | { readonly kind: "invalid"; readonly detail: string };

/** Clocks of clients run ahead; beyond this much the time is not believed, ms. */
const maxAheadMs = 5 * 60_000;

export function readAge(
  { maxAgeMs, header }: KeyAge,
  key: readonly string[],
  rawHeaders: HeaderPairs,
  nowMs: number,
): AgeReading {
  const bornMs = header === null ? bornInKey(key) : bornInHeader(rawHeaders, header);
  if (typeof bornMs === "string") return { kind: "invalid", detail: bornMs };
  if (bornMs > nowMs + maxAheadMs) {
    return { kind: "invalid", detail: "The key was made more than five minutes in the future." };
  }
  return { kind: nowMs - bornMs > maxAgeMs ? "old" : "young" };
}

/** Of several values the first that tells a time. */
function bornInKey(key: readonly string[]): number | string {
  for (const value of key) {
    const bornMs = bornAt(value);
    if (bornMs !== undefined) return bornMs;
  }
  return "The key does not tell when it was made: this route takes a UUID of version 7, or a ULID.";
}

/** RFC 9562 §5.7: 48 bits of milliseconds in front; a ULID has the same in ten digits of Crockford's alphabet. */
function bornAt(key: string): number | undefined {
  if (/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i.test(key)) {
    return Number.parseInt(key.slice(0, 8) + key.slice(9, 13), 16);
  }
  if (!/^[0-7][0-9a-hjkmnp-tv-z]{25}$/i.test(key)) return undefined;
  let bornMs = 0;
  for (const digit of key.slice(0, 10).toUpperCase()) bornMs = bornMs * 32 + crockford.indexOf(digit);
  return bornMs;
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

function bornInHeader(rawHeaders: HeaderPairs, name: string): number | string {
  const values = headerValues(rawHeaders, name);
  if (values.length !== 1) {
    return `This route reads when the key was made in header:${name}: it must be there, and only once.`;
  }
  const bornMs = instantOf(trimSpace(values[0]!));
  return bornMs ?? `The time in header:${name} is neither an RFC 3339 nor an HTTP date.`;
}
