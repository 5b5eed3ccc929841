import { hash } from "node:crypto";

/** What can be framed: a text, something that was not there, or a list of such. */
export type Framable = string | undefined | readonly Framable[];

/**
 * A text from which the parts can be read back in one way only, so that no two different values meet: each part
 * says its kind and its length first. What was absent is not what was empty, and one list is not two.
 */
export function frame(part: Framable): string {
  if (part === undefined) return "-";
  if (typeof part === "string") {
    // Hashing encodes as UTF-8, which turns every lone surrogate into the same U+FFFD.
    return (part as WellFormedness).isWellFormed() ? `${part.length}:${part}` : `!${frame(JSON.stringify(part))}`;
  }
  let text = `[${part.length};`;
  for (const one of part) text += frame(one);
  return text;
}

/** SHA-256 of the UTF-8 octets of a text, or of octets; 64 hexadecimal digits. */
export function sha256(data: string | Uint8Array): string {
  return hash("sha256", data);
}

/** In Node 20, but only in the typings of ES2024. */
type WellFormedness = string & { isWellFormed(): boolean };
