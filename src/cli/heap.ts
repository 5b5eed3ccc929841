import { setFlagsFromString } from "node:v8";

/**
 * V8 watches where long-lived objects are made, and soon makes all objects of such a place in the old generation. Under
 * load it takes those of a request for such: each keeps what it refers to alive until the next full collection, so a
 * third of the garbage of requests was copied twice and promoted. Decision 0070 has the figures.
 */
export function keepRequestsYoung(): void {
  setFlagsFromString("--no-allocation-site-pretenuring");
}
