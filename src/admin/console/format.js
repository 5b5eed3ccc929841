const steps = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"],
];

/** `3 h 12 min`: the two largest units, for people. */
export function span(ms) {
  if (ms < 1000) return "under 1 s";
  const at = steps.findIndex(([unitMs]) => ms >= unitMs);
  const [unitMs, unit] = steps[at];
  const next = steps[at + 1];
  const rest = next === undefined ? 0 : Math.floor((ms % unitMs) / next[0]);
  return `${Math.floor(ms / unitMs)} ${unit}${rest > 0 ? ` ${rest} ${next[1]}` : ""}`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** In the reader's own time zone; the full instant is in the element's `datetime` and title. */
export function moment(iso) {
  const date = new Date(iso);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

export function exactMoment(iso) {
  return `${day.format(new Date(iso))}, ${exactTime(iso)}`;
}

/** For rows of things that follow one another closely. The day only where it is not today's. */
export function rowMoment(iso) {
  return new Date(iso).toDateString() === new Date().toDateString() ? exactTime(iso) : exactMoment(iso);
}

function exactTime(iso) {
  const date = new Date(iso);
  return `${clock.format(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

const whole = new Intl.NumberFormat("en-GB");

export function count(number) {
  return whole.format(number);
}

/** Requests in a second: `0`, `0.4`, `12.3`, `1,240`. */
export function rate(perSecond) {
  if (perSecond === 0) return "0";
  if (perSecond < 0.05) return "< 0.1";
  return perSecond < 100 ? perSecond.toFixed(1) : whole.format(Math.round(perSecond));
}

export function bytes(number) {
  if (number < 1024) return `${number} bytes`;
  return number < 1_048_576 ? `${(number / 1024).toFixed(1)} KiB` : `${(number / 1_048_576).toFixed(1)} MiB`;
}

export function shortId(id) {
  return `${id.slice(0, 8)}…`;
}
