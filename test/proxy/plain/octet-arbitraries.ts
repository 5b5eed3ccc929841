import fc from "fast-check";

/** What parsers of HTTP disagree about. */
const octets = [
  "\0",
  "\t",
  "\n",
  "\r",
  "\r\n",
  "\r\n\r\n",
  " ",
  "!",
  '"',
  "(",
  ",",
  "0",
  ":",
  ";",
  "_",
  "\x7f",
  "\x80",
  "\xff",
];
const oddity = fc.constantFrom(...octets);
const change = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(1), oddity);

/** A text with one oddity somewhere, or none. */
export function spoiled(text: string): fc.Arbitrary<string> {
  return fc.tuple(change, fc.nat(2)).map(([one, kind]) => (kind === 0 ? text : changed(text, one)));
}

/** Texts, most of them with an octet or two changed, added or lost. */
export function mutated(texts: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(texts, fc.array(change, { maxLength: 2 })).map(([text, changes]) => changes.reduce(changed, text));
}

function changed(text: string, [where, lost, oddity]: [number, number, string]): string {
  const at = Math.floor(where * text.length);
  return text.slice(0, at) + oddity + text.slice(at + lost);
}
