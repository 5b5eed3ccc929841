/** The spelling of a path: percent escapes, `;parameters`, and the slash at its end. */

export const slash = 0x2f;
export const dot = 0x2e;

/** An upstream that decodes a path more often than this is not considered. */
export const maxLevels = 3;

/** Characters that mean the same whether escaped or not: unreserved ones, and delimiters without a meaning in a path. */
export const isNeutral: readonly boolean[] = Array.from({ length: 256 }, (_, code) =>
  /[A-Za-z0-9\-._~!$&'()*+,=:@]/.test(String.fromCharCode(code)),
);

const spelling: readonly string[] = isNeutral.map((neutral, code) =>
  neutral ? String.fromCharCode(code) : `%${code.toString(16).toUpperCase().padStart(2, "0")}`,
);

export function isWellEscaped(text: string): boolean {
  return !/%(?![0-9A-Fa-f]{2})/.test(text);
}

/** One spelling for each octet. Every `%` of `text` begins an escape. */
export function normalise(text: string): string {
  return text.replace(/%..|[^A-Za-z0-9\-._~!$&'()*+,=:@/;]/gs, (found) => {
    const code = found.length === 1 ? found.charCodeAt(0) : Number.parseInt(found.slice(1), 16);
    // A raw slash divides segments and a raw semicolon begins parameters; escaped, they may or may not.
    return spelling[code]!;
  });
}

/** The path after one more decoding, where an escape hides in an escape; otherwise the same text. */
export function decodedOnce(normal: string): string {
  if (!/%25[0-9A-F]{2}/i.test(normal)) return normal;
  return normalise(normal.replace(/%25(?=[0-9A-F]{2})/gi, "%"));
}

export function withoutParameters(normal: string): string {
  return normal.includes(";") ? normal.replace(/;[^/]*/g, "") : normal;
}

export function dropTrailingSlash(path: string): string {
  return path.length > 1 && path.charCodeAt(path.length - 1) === slash ? path.slice(0, -1) : path;
}
