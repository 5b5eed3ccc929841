import type { TextForm } from "./form.js";

/** A status, or a class of statuses such as `5xx`, as settings have them. */
export type StatusSetting = number | string;

export const statusClass: TextForm = {
  pattern: "^[1-5][xX]{2}$",
  noun: "a class such as 5xx",
  problem(value) {
    return /^[1-5]xx$/i.test(value) ? undefined : `${JSON.stringify(value)} is not a class of statuses such as 5xx`;
  },
};

/** Every status that the setting names. */
export function statusesOf(written: StatusSetting): readonly number[] {
  if (typeof written === "number") return [written];
  const first = Number(written[0]) * 100;
  return Array.from({ length: 100 }, (_, index) => first + index);
}

export function statusSet(written: readonly StatusSetting[]): ReadonlySet<number> {
  return new Set(written.flatMap(statusesOf));
}
