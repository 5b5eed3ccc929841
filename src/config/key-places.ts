/** `key.from` as it is written: one place, all of a list, or the first of one that is there. */
export type KeyPlaces = string | readonly string[] | { readonly firstOf: readonly string[] };

export function isFirstOf(from: KeyPlaces): from is { readonly firstOf: readonly string[] } {
  return typeof from === "object" && "firstOf" in from;
}

export function placesOf(from: KeyPlaces): readonly string[] {
  if (typeof from === "string") return [from];
  return isFirstOf(from) ? from.firstOf : from;
}

/** The setting in which a place is written, for messages. */
export function keySettingOf(from: KeyPlaces, index: number): string {
  if (typeof from === "string") return "idempotency.key.from";
  return isFirstOf(from) ? `idempotency.key.from.firstOf[${index}]` : `idempotency.key.from[${index}]`;
}
