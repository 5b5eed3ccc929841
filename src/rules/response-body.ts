/** RFC 9112 §6.3: whatever its fields say, it ends with its head. Interim answers apart, which are not the end of anything. */
export function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
}

/** RFC 9110 §15.3.6 as well, though a 205 is framed like any other. */
export function mayNotHaveContent(status: number): boolean {
  return isBodiless(status) || status === 205;
}
