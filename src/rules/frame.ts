import { hash } from "node:crypto";

/** What can be framed: a text, something that was not there, or a list of such. */
export type Framable = string | undefined | readonly Framable[];

/**
 * A text from which the parts can be read back in one way only, so that no two different values meet: each part
 * says its kind and its length first. What was absent is not what was empty, and one list is not two.
 */
export function frame(part: Framable): string {
  const pieces: string[] = [];
  collect(pieces, part);
  return pieces.join("");
}

function collect(pieces: string[], part: Framable): void {
  if (part === undefined) {
    pieces.push("-");
  } else if (typeof part !== "string") {
    pieces.push("[", String(part.length), ";");
    for (const one of part) collect(pieces, one);
  } else if ((part as WellFormedness).isWellFormed()) {
    pieces.push(String(part.length), ":", part);
  } else {
    // Hashing encodes as UTF-8, which turns every lone surrogate into the same U+FFFD.
    pieces.push("!");
    collect(pieces, JSON.stringify(part));
  }
}

/** SHA-256 of the UTF-8 octets of a text, or of octets; 64 hexadecimal digits. */
export function sha256(data: string | Uint8Array): string {
  return hash("sha256", data);
}

/** In Node 20, but only in the typings of ES2024. */
type WellFormedness = string & { isWellFormed(): boolean };
