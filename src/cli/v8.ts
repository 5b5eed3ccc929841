import { setFlagsFromString } from "node:v8";

/**
 * V8 watches where long-lived objects are made, and soon makes all objects of such a place in the old generation. Under
 * load it takes those of a request for such: each keeps what it refers to alive until the next full collection, so a
 * third of the garbage of requests was copied twice and promoted. Decision 0070 has the figures.
 */
export function keepRequestsYoung(): void {
  setFlagsFromString("--no-allocation-site-pretenuring");
}

/** One was not enough for V8, ten were; a thousand cost nothing. */
const lookups = 1000;

/**
 * A class that extends `String`, and ioredis has one, leaves `String.prototype` in V8's slow form: then each call of a
 * string's method, in all of the process, first searches for it. V8 mends a prototype once a method of an *object* is
 * looked up through it, which strings are not. Decision 0073 has the figures.
 */
export function mendStrings(): number {
  const text = new String("text");
  let sum = 0;
  for (let i = 0; i < lookups; i++) sum += text.charCodeAt(0);
  return sum;
}
