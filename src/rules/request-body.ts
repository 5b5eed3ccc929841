/** Whether the method's meaning is in its body: these tell the length of an empty one as well (RFC 9110 §8.6). */
export function expectsBody(method: string): boolean {
  return method === "POST" || method === "PUT" || method === "PATCH";
}

/**
 * A body where servers often read none. Such a server takes it for the next request of the connection and answers that
 * as well, so the connection must not be used again.
 */
export function hasUnexpectedBody(method: string, hasBody: boolean): boolean {
  return hasBody && !expectsBody(method);
}
