const controlCharacters = /[\p{Cc}\p{Zl}\p{Zp}]/gu;

/** Whether a text can be written to a terminal as it is: no control character (of C1 neither), no end of a line. */
export function isOneLine(text: string): boolean {
  return text.search(controlCharacters) < 0;
}

/** A text that comes from a client, as it is written to a log: control characters as the escapes they have in strings. */
export function oneLine(text: string): string {
  return text.replace(controlCharacters, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
