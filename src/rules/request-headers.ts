import type { HeaderPairs } from "../model.js";
import { headerValues, sieveOf, trimSpace } from "./headers.js";

/** What the gateway itself has to say about a request, and what it may not pass on. */
export interface Forwarding {
  /** The peer's address, as the socket gives it. */
  readonly clientAddress: string;
  readonly proto: "http" | "https";
  /** As received. */
  readonly hostHeader: string;
  /** Whether what the peer says about the client before it is believed. */
  readonly isTrusted: boolean;
  /** The upstream's authority where `Host` is replaced by it, `null` where the received one is kept. */
  readonly upstreamHost: string | null;
  /** Names that `Connection` lists, in lower case (`RequestHead.connection`). */
  readonly connection: readonly string[];
  /** Names that the upstream does not see, in lower case (`withheldHeaders`). */
  readonly withheld: readonly string[];
  /** True where the body is streamed; a buffered body gets its length from whoever sends it. */
  readonly keepsContentLength: boolean;
  readonly makeTraceparent: () => string;
  /** The member of `Via` that names this gateway. */
  readonly via: string;
  /** How often the request may be forwarded after this; `undefined`: what it says is passed on. */
  readonly maxForwards: number | undefined;
}

/**
 * The header of the request to the upstream: as received, in order, with repeats and letter case, less what is meant for
 * this connection only (RFC 9110 §7.6.1) or answered here (`Expect`), and with what the gateway adds at its end:
 * `X-Forwarded-For`, `-Proto`, `-Host`, `Via`, and a `traceparent` when there is no valid one. `received` has passed
 * `readHead` and `refuseForRoute`: one `Host`, and nothing in `Connection` that the route reads.
 */
export function requestHeaders(received: HeaderPairs, forwarding: Forwarding): string[] {
  const { isTrusted, connection, withheld } = forwarding;
  const traceparent = receivedTraceparent(received);
  const isAllPassed = connection.length === 0 && withheld.length === 0;
  const sent: string[] = [];
  let forwardedFor = "";
  let hasProto = false;
  let hasHost = false;
  for (let i = 0; i < received.length; i += 2) {
    const name = received[i]!;
    let value = received[i + 1]!;
    if (isAllPassed && !mayBeSpecial(name)) {
      sent.push(name, value);
      continue;
    }
    const lower = name.toLowerCase();
    switch (special.get(lower)) {
      case "hop":
        continue;
      case "host":
        if (forwarding.upstreamHost !== null) value = forwarding.upstreamHost;
        break;
      case "length":
        if (!forwarding.keepsContentLength) continue;
        break;
      case "for":
        if (isTrusted && value !== "") forwardedFor += `${value}, `;
        continue;
      case "proto":
        if (!isTrusted) continue;
        hasProto = true;
        break;
      case "forwardedHost":
        if (!isTrusted) continue;
        hasHost = true;
        break;
      case "claim":
        if (!isTrusted) continue;
        break;
      case "maxForwards":
        if (forwarding.maxForwards !== undefined) value = String(forwarding.maxForwards);
        break;
      case "trace":
        // Without a valid traceparent, tracestate means nothing (W3C Trace Context §4.3).
        if (traceparent === undefined) continue;
        break;
      case undefined:
        if (connection.length > 0 && connection.includes(lower) && !isEndToEnd(lower)) continue;
        if (withheld.length > 0 && withheld.includes(lower)) continue;
    }
    sent.push(name, value);
  }
  sent.push("X-Forwarded-For", forwardedFor + plainAddress(forwarding.clientAddress));
  if (!hasProto) sent.push("X-Forwarded-Proto", forwarding.proto);
  if (!hasHost) sent.push("X-Forwarded-Host", forwarding.hostHeader);
  sent.push("Via", forwarding.via);
  if (traceparent === undefined) sent.push("traceparent", forwarding.makeTraceparent());
  return sent;
}

/** The one valid `traceparent` (W3C Trace Context §3.2), or none. */
export function receivedTraceparent(pairs: HeaderPairs): string | undefined {
  const values = headerValues(pairs, "traceparent");
  if (values.length !== 1) return undefined;
  const value = trimSpace(values[0]!);
  const parsed = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/.exec(value);
  if (parsed === null || parsed[1] === "ff" || (parsed[1] === "00" && parsed[4] !== undefined)) return undefined;
  return /^0+$/.test(parsed[2]!) || /^0+$/.test(parsed[3]!) ? undefined : value;
}

/** Node names IPv4 peers of a dual-stack socket in IPv6's way. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice("::ffff:".length) : address;
}

/** Fields that `Connection` cannot take away: they are for the upstream, whoever says otherwise. */
function isEndToEnd(lower: string): boolean {
  return lower.startsWith("content-") || lower === "authorization" || lower === "cookie";
}

type Special = "hop" | "host" | "length" | "for" | "proto" | "forwardedHost" | "claim" | "maxForwards" | "trace";

const special: ReadonlyMap<string, Special> = new Map<string, Special>([
  ["connection", "hop"],
  ["keep-alive", "hop"],
  ["proxy-connection", "hop"],
  ["proxy-authorization", "hop"],
  ["te", "hop"],
  ["trailer", "hop"],
  ["transfer-encoding", "hop"],
  ["upgrade", "hop"],
  ["http2-settings", "hop"],
  ["expect", "hop"],
  ["host", "host"],
  ["content-length", "length"],
  ["x-forwarded-for", "for"],
  ["x-forwarded-proto", "proto"],
  ["x-forwarded-host", "forwardedHost"],
  // Further claims about the connection or the path before us: from an untrusted client they are dropped.
  ["forwarded", "claim"],
  ["x-real-ip", "claim"],
  ["x-forwarded-port", "claim"],
  ["x-forwarded-prefix", "claim"],
  ["x-forwarded-scheme", "claim"],
  ["x-forwarded-server", "claim"],
  ["x-forwarded-ssl", "claim"],
  ["x-original-url", "claim"],
  ["x-rewrite-url", "claim"],
  ["max-forwards", "maxForwards"],
  ["traceparent", "trace"],
  ["tracestate", "trace"],
]);

const mayBeSpecial = sieveOf(special.keys());
