import type { HeaderPairs } from "../model.js";
import { headerValue, isNamed, trimSpace } from "./headers.js";

/** Whether a response is passed on part by part: by its media type, or because the upstream asks for it. */
export function isStream(received: HeaderPairs, pattern: RegExp): boolean {
  const type = headerValue(received, "content-type");
  if (type !== undefined && pattern.test(type)) return true;
  const buffering = headerValue(received, "x-accel-buffering");
  return buffering !== undefined && forbidsBuffering(buffering);
}

/** The value of `X-Accel-Buffering`, the field by which an upstream tells nginx not to collect its response. */
export function forbidsBuffering(value: string): boolean {
  return isNamed(trimSpace(value), "no");
}
