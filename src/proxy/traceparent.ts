import { randomFillSync } from "node:crypto";

const pool = Buffer.allocUnsafe(24 * 128);
let used = pool.length;

/** A new W3C trace context, not sampled: whoever traces may join the request's log lines by it. */
export function makeTraceparent(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const trace = pool.toString("hex", used, used + 16);
  const span = pool.toString("hex", used + 16, used + 24);
  used += 24;
  return `00-${trace}-${span}-00`;
}

/** Puts the context of a call into a request's header, which has exactly one already (`requestHeaders`). */
export function carryTraceparent(headers: string[], traceparent: string): void {
  const at = headers.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === "traceparent");
  headers[at + 1] = traceparent;
}
