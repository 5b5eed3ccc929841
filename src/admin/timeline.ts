import type { RecordView } from "../store/record-store.js";

/** Something that happened to a record, as a process saw it (`observe/recent.ts`). */
export interface Seen {
  readonly atMs: number;
  readonly kind: "dispatched" | "request" | "inDoubt" | "leaseLost" | "audit";
  readonly durationMs?: number;
  readonly cause?: string;
}

/** What the processes of this gateway have seen of the records whose ids begin with 8 digits. */
export interface Recall {
  /** From when on all of them have kept everything, ms since the epoch. */
  readonly sinceMs: number;
  readonly processes: number;
  /** Those that did not answer in time. */
  readonly silent: number;
  readonly seen: readonly Seen[];
}

export type RecallSightings = (prefix: string) => Promise<Recall>;

interface TimelineEvent {
  readonly at: string;
  readonly source: "record" | "seen";
  readonly kind: string;
  readonly [detail: string]: unknown;
}

/** The same end of a doubt, told by the record and by a process whose clock is not the store's, ms. */
const sameMomentMs = 5_000;

/** What the store knows of a record and what was seen of it, in one row, oldest first. */
export function timelineJson(id: string, view: RecordView | undefined, recall: Recall) {
  const stored = view === undefined ? [] : storedEvents(view);
  const seen = recall.seen.filter((sighting) => view === undefined || !isToldByRecord(sighting, view)).map(seenEvent);
  return {
    id,
    state: view?.state ?? null,
    events: [...stored, ...seen].sort((a, b) => a.at.localeCompare(b.at)),
    seen: {
      since: new Date(recall.sinceMs).toISOString(),
      processes: recall.processes,
      silent: recall.silent,
    },
  };
}

function storedEvents(view: RecordView): TimelineEvent[] {
  const event = (atMs: number, kind: string, details: object = {}): TimelineEvent => ({
    at: new Date(atMs).toISOString(),
    source: "record",
    kind,
    ...details,
  });
  const claimed = event(view.createdAtMs, "claimed");
  const { attempts, status, cause, updatedAtMs } = view;
  switch (view.state) {
    case "completed":
      return [claimed, event(updatedAtMs, "stored", { status, attempts })];
    case "not_replayable":
      return [claimed, event(updatedAtMs, "not_stored", { status, attempts })];
    case "in_doubt":
      return [claimed, event(updatedAtMs, "in_doubt", { cause, attempts })];
    case "in_flight":
      return updatedAtMs > view.createdAtMs ? [claimed, event(updatedAtMs, "taken_over", { attempts })] : [claimed];
  }
}

function isToldByRecord({ kind, cause, atMs }: Seen, view: RecordView): boolean {
  if (kind !== "inDoubt" || view.state !== "in_doubt" || cause !== view.cause) return false;
  return Math.abs(atMs - view.updatedAtMs) < sameMomentMs;
}

/** A request is placed where its answer was; when it had come is a subtraction, and told too. */
function seenEvent({ atMs, kind, ...details }: Seen): TimelineEvent {
  const { durationMs, ...rest } = details;
  const begun =
    durationMs === undefined
      ? {}
      : { durationMs: Math.round(durationMs * 10) / 10, begunAt: new Date(atMs - durationMs).toISOString() };
  return { at: new Date(atMs).toISOString(), source: "seen", kind: names[kind], ...rest, ...begun };
}

const names = {
  dispatched: "dispatched",
  request: "request",
  inDoubt: "in_doubt",
  leaseLost: "lease_lost",
  audit: "audit",
} as const;
