/** Text with a unit → a whole number of milliseconds or bytes, and back. Pure. */

import { type Parsed, refuse } from "./parsed.js";

const unitMs = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;
const unitBytes = { GiB: 1024 ** 3, MiB: 1024 ** 2, KiB: 1024, B: 1 } as const;

/** As JSON Schema states them; the parsers below use the same two. */
export const durationPattern =
  "^(?=\\d)(?:\\d+(?:\\.\\d+)?d)?(?:\\d+(?:\\.\\d+)?h)?(?:\\d+(?:\\.\\d+)?m(?!s))?(?:\\d+(?:\\.\\d+)?s)?(?:\\d+ms)?$";
export const sizePattern = "^\\d+(?:\\.\\d+)?(?:B|KiB|MiB|GiB)$";

const durationForm = new RegExp(durationPattern);
const sizeForm = new RegExp(sizePattern);
const durationHint = "a duration such as 250ms, 30s, 15m, 24h or 7d";
const sizeHint = "a size such as 512KiB or 1MiB";

/** `250ms`, `30s`, `1h30m`: units in falling order, each at most once. A bare `0` needs none. */
export function parseDuration(text: string): Parsed<number> {
  if (text === "0") return { ok: true, value: 0 };
  if (/^\d+(\.\d+)?$/.test(text)) return refuse(`${text} has no unit; did you mean ${text}s?`);
  if (!durationForm.test(text)) {
    const tidy = text.replace(/\s+/g, "").toLowerCase();
    return refuse(`expected ${durationHint}, got "${text}"${durationForm.test(tidy) ? `; did you mean ${tidy}?` : ""}`);
  }
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(/([\d.]+)(ms|[dhms])/g)) {
    sum += Number(amount) * unitMs[unit as keyof typeof unitMs];
  }
  // 0.1s is 100.00000000000001 in some sums: only a real fraction of a millisecond is refused.
  const value = Math.round(sum);
  if (Math.abs(sum - value) > 1e-6) return refuse(`"${text}" is finer than a millisecond`);
  return whole(value, text);
}

/** `512KiB`, `1MiB`; a bare number is bytes. */
export function parseSize(text: string): Parsed<number> {
  if (/^\d+$/.test(text)) return whole(Number(text), text);
  if (!sizeForm.test(text)) return refuse(`expected ${sizeHint}, got "${text}"${binaryUnit(text)}`);
  const [, amount, unit] = /^([\d.]+)(\w+)$/.exec(text) as RegExpExecArray;
  const value = Number(amount) * unitBytes[unit as keyof typeof unitBytes];
  return Number.isInteger(value) ? whole(value, text) : refuse(`"${text}" is not a whole number of bytes`);
}

export function formatDuration(ms: number): string {
  return inLargestUnit(ms, unitMs) ?? "0";
}

export function formatSize(bytes: number): string {
  return inLargestUnit(bytes, unitBytes) ?? "0";
}

function inLargestUnit(value: number, units: Readonly<Record<string, number>>): string | undefined {
  for (const [unit, factor] of Object.entries(units)) {
    if (value > 0 && value % factor === 0) return `${value / factor}${unit}`;
  }
  return undefined;
}

/** KB and MB are 1000 to some and 1024 to others, so they are named and not guessed. */
function binaryUnit(text: string): string {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg])(?:i?b)?$/i.exec(text);
  return match ? `; did you mean ${match[1]}${match[2]?.toUpperCase()}iB?` : "";
}

function whole(value: number, text: string): Parsed<number> {
  return Number.isSafeInteger(value) ? { ok: true, value } : refuse(`"${text}" is too large`);
}
