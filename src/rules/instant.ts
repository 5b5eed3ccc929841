/** Milliseconds since the epoch, of an RFC 3339 time or an HTTP date (RFC 9110 §5.6.7, its obsolete forms too). */
export function instantOf(text: string): number | undefined {
  return ofRfc3339(text) ?? ofHttpDate(text);
}

function ofRfc3339(text: string): number | undefined {
  const parts = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))$/i.exec(text);
  if (parts === null) return undefined;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as Six;
  const utcMs = utcOf(year, month, day, hour, minute, second);
  const [hours, minutes] = [Number(parts[9] ?? 0), Number(parts[10] ?? 0)];
  if (utcMs === undefined || hours > 23 || minutes > 59) return undefined;
  const aheadMs = (hours * 60 + minutes) * 60_000 * (parts[8] === "-" ? -1 : 1);
  return utcMs + Math.floor(Number(`0.${parts[7] ?? 0}`) * 1000) - aheadMs;
}

type Six = [number, number, number, number, number, number];

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const fixed = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT$/;
const rfc850 = /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (\d\d)-(\w{3})-(\d\d) (\d\d):(\d\d):(\d\d) GMT$/;
const asctime = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (\w{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/;

function ofHttpDate(text: string): number | undefined {
  const usual = fixed.exec(text) ?? rfc850.exec(text);
  if (usual !== null) {
    const [, day, month, written, hour, minute, second] = usual;
    const year = Number(written) + (written!.length > 2 ? 0 : Number(written) < 70 ? 2000 : 1900);
    return utcOf(year, months.indexOf(month!) + 1, Number(day), Number(hour), Number(minute), Number(second));
  }
  const old = asctime.exec(text);
  if (old === null) return undefined;
  const [, month, day, hour, minute, second, year] = old;
  return utcOf(Number(year), months.indexOf(month!) + 1, Number(day), Number(hour), Number(minute), Number(second));
}

/** `undefined` for a day or a time that does not exist. A leap second is the end of its minute. */
function utcOf(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): number | undefined {
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const utcMs = Date.UTC(year, month - 1, day, hour, minute, Math.min(second, 59));
  const date = new Date(utcMs);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? utcMs : undefined;
}
