import type { RecordJson, responseJson } from "../admin/record-json.js";

/** A record as `GET /v1/records/{id}` answers it. */
export type ShownRecord = RecordJson & { readonly response?: ReturnType<typeof responseJson> | null };

/** Enough digits to tell records apart at a glance; commands take any unique beginning of eight. */
const shownIdDigits = 12;

/** Instants are the store's, so an age is as good as the two clocks agree. */
export function recordTable(records: readonly ShownRecord[], nowMs: number): string {
  if (records.length === 0) return "no records\n";
  const head = ["CREATED", "AGE", "ROUTE", "STATE", "ATTEMPTS", "STATUS", "CAUSE", "ID"];
  const rows = records.map((record) => [
    record.createdAt.slice(0, 19).replace("T", " "),
    ageText(nowMs - Date.parse(record.createdAt)),
    printable(record.route),
    record.state,
    String(record.attempts),
    record.status === null ? "-" : String(record.status),
    record.cause ?? "-",
    record.id.slice(0, shownIdDigits),
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd();
  return `${[head, ...rows].map(line).join("\n")}\n`;
}

export function recordText({ response, ...record }: ShownRecord): string {
  const lines = Object.entries(record).map(([name, value]) => `${name.padEnd(12)}${printable(String(value ?? "-"))}`);
  if (response === undefined) return `${lines.join("\n")}\n`;
  if (response === null) return `${lines.join("\n")}\n\nno stored response\n`;
  const head = [`${response.status} ${response.reason}`, ...response.headers.map((pair) => pair.join(": "))];
  const isText = response.bodyEncoding === "utf8";
  const body = isText ? response.body.split("\n").map(printable).join("\n") : `base64: ${response.body}`;
  return `${lines.join("\n")}\n\n${head.map(printable).join("\n")}\n\n${body}\n`;
}

export function ageText(ageMs: number): string {
  const seconds = Math.max(0, Math.floor(ageMs / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** A stored response is a stranger's text: it must not steer the operator's terminal. */
export function printable(text: string): string {
  return text.replace(/[^\P{C}\t]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}
