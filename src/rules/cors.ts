/** What the gateway's own answers and replays say to pages of other origins (Fetch standard, CORS protocol). */
import type { Cors, HeaderPairs } from "../model.js";
import { headerValue, headerValues, isNamed, sieveOf } from "./headers.js";

/** Fields of the gateway's own answers that a page may not read unless it is said. */
const exposed = ["Retry-After", "Idempotency-Record", "Idempotency-Expires"];

/** A preflight: asks whether a page may send a request of the method it names. */
export function preflightMethod(method: string, rawHeaders: HeaderPairs): string | undefined {
  if (method !== "OPTIONS" || headerValue(rawHeaders, "origin") === undefined) return undefined;
  return headerValue(rawHeaders, "access-control-request-method");
}

/** Fields of an answer that the gateway writes itself. `request`: the header of the request. */
export function corsFields(cors: Cors | null, request: HeaderPairs, replayHeader?: string): string[] {
  if (cors === null) return [];
  const origin = headerValue(request, "origin");
  const fields = cors.origins === "any" ? [] : ["Vary", "Origin"];
  if (origin === undefined || !isAllowed(cors, origin)) return fields;
  fields.push("Access-Control-Allow-Origin", cors.origins === "any" ? "*" : origin);
  if (cors.credentials) fields.push("Access-Control-Allow-Credentials", "true");
  fields.push(
    "Access-Control-Expose-Headers",
    [...(replayHeader === undefined ? [] : [replayHeader]), ...exposed].join(", "),
  );
  return fields;
}

/**
 * The header of a replay for the origin that asks: what the API allowed another origin is left out, what the route allows
 * this one stands instead.
 */
export function replayedCors(
  headers: string[],
  cors: Cors | null,
  request: HeaderPairs,
  replayHeader: string,
): string[] {
  const own = corsFields(cors, request, replayHeader);
  const granted = headerValues(headers, "access-control-allow-origin");
  if (own.length === 0 && granted.length === 0) return headers;
  const isGranted = own.some((name) => name === "Access-Control-Allow-Origin");
  const origin = headerValue(request, "origin");
  const isForeign = granted.some((value) => value !== "*" && value !== origin);
  const sent: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if ((isGranted || isForeign) && mayBeGrant(headers[i]!) && isGrant(headers[i]!)) continue;
    sent.push(headers[i]!, headers[i + 1]!);
  }
  for (let i = 0; i < own.length; i += 2) {
    if (own[i] === "Vary" && variesByOrigin(sent)) continue;
    sent.push(own[i]!, own[i + 1]!);
  }
  return sent;
}

function isAllowed(cors: Cors, origin: string): boolean {
  return cors.origins === "any" || cors.origins.has(origin);
}

function isGrant(name: string): boolean {
  return isNamed(name, "access-control-allow-origin") || isNamed(name, "access-control-allow-credentials");
}

const mayBeGrant = sieveOf(["access-control-allow-origin", "access-control-allow-credentials"]);

function variesByOrigin(headers: HeaderPairs): boolean {
  return headerValues(headers, "vary").some((value) => /(?:^|,)\s*(?:origin|\*)\s*(?:,|$)/i.test(value));
}
