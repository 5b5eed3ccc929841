/** One thing that was looked at. `unsafe`: records, and with them the promise, are at risk, or nothing works at all. */
export interface Finding {
  readonly check: string;
  readonly state: "ok" | "warning" | "unsafe";
  readonly detail: string;
}
