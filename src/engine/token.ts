import { randomFillSync } from "node:crypto";
import type { FlightId, Lease, RecordKey } from "../model.js";

const tokenBytes = 16;
const pool = Buffer.allocUnsafe(tokenBytes * 256);
let used = pool.length;

/** A new proof of ownership: 128 random bits. Drawn in bulk, the kernel is asked once for 256 of them. */
export function newLease(key: RecordKey): Lease {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const token = pool.toString("hex", used, used + tokenBytes);
  used += tokenBytes;
  return { key, token };
}

/** See `FlightId`. */
export function flightOf(lease: Lease): FlightId {
  return lease.token.slice(0, 16);
}
