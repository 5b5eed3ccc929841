/** What a log line says of an error. */
export interface ErrorFields {
  readonly name: string;
  readonly code?: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: ErrorFields;
}

const maxMessageLength = 500;
const maxCauses = 4;

/**
 * Never an error as it is: ioredis hangs the failed command with all its arguments (records, tokens, stored bodies) on
 * its errors, Redis quotes the arguments of a command it does not know, and an address may carry a password or a query.
 */
export function errorFields(error: Error, depth = 0): ErrorFields {
  const { code } = error as { code?: unknown };
  const frames = error.stack?.split("\n").filter((line) => line.startsWith("    at "));
  return {
    name: error.name,
    ...(typeof code === "string" ? { code } : {}),
    message: withoutSecrets(error.message),
    ...(frames?.length ? { stack: frames.join("\n") } : {}),
    ...(error.cause instanceof Error && depth < maxCauses ? { cause: errorFields(error.cause, depth + 1) } : {}),
  };
}

export function withoutSecrets(text: string): string {
  return text
    .slice(0, maxMessageLength)
    .replace(/(with args beginning with:).*/s, "$1 …")
    .replace(/(\b[a-z][a-z\d+.-]*:\/\/)[^\s/?#]*@/gi, "$1…@")
    .replace(/(\b[a-z][a-z\d+.-]*:\/\/[^\s?#]*)\?[^\s'"]*/gi, "$1?…");
}
