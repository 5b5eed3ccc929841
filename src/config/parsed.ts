/** What became of a text: its meaning, or what is wrong with it as the end of "PATH: …". */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string };

export function refuse(message: string): Parsed<never> {
  return { ok: false, message };
}

/** Of a text that was found to be right before. */
export function valid<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}
