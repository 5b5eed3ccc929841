/**
 * Matches the `Content-Type` of a response that is one of these media types, in any letter case, with any parameters, and
 * with any structured suffix: `application/grpc-web` stands for `application/grpc-web+proto` too, `text/*` for every text.
 */
export function streamPattern(types: readonly string[]): RegExp {
  if (types.length === 0) return matchesNothing;
  const alternatives = types.map((type) =>
    type.endsWith("/*") ? `${verbatim(type.slice(0, -1))}[^\\s;,]+` : `${verbatim(type)}(?:\\+[^\\s;,]+)?`,
  );
  return new RegExp(`^[ \\t]*(?:${alternatives.join("|")})[ \\t]*(?:[;,]|$)`, "i");
}

const matchesNothing = /(?!)/;

function verbatim(text: string): string {
  return text.replace(/[.*+?^$|{}()[\]\\]/g, "\\$&");
}
