/** The date that was written last: within one second most are the same. */
let lastSecond = Number.NaN;
let lastDate = "";

/** RFC 9110 §5.6.7. */
export function httpDate(atMs: number): string {
  const second = Math.floor(atMs / 1000);
  if (second !== lastSecond) {
    lastSecond = second;
    lastDate = new Date(second * 1000).toUTCString();
  }
  return lastDate;
}
