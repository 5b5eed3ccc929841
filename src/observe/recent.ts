import type { EventHub, Result } from "../events.js";
import type { DoubtCause, ProblemCode } from "../model.js";

/** Something that happened to a record, as this process saw it. */
export type Sighting = { readonly atMs: number } & (
  | {
      readonly kind: "request";
      readonly result: Result;
      readonly method: string;
      readonly status: number;
      readonly durationMs: number;
      readonly code: ProblemCode | undefined;
      readonly hungUp: boolean;
    }
  /** The upstream is called, for the request itself or to ask what became of an earlier one. */
  | { readonly kind: "dispatched" }
  | { readonly kind: "inDoubt"; readonly cause: DoubtCause }
  | { readonly kind: "leaseLost" }
  | {
      readonly kind: "audit";
      readonly who: string;
      readonly action: string;
      readonly result: string;
      readonly reason: string | undefined;
    }
);

/** What was seen of some records. */
export interface Sightings {
  /** Of nothing before this moment anything is known, ms since the epoch. */
  readonly sinceMs: number;
  readonly seen: readonly Sighting[];
}

interface Slot {
  /** First 8 digits of the record id. */
  readonly key: string;
  readonly sighting: Sighting;
}

/** A few MiB at most, whatever the traffic. */
const maxSlots = 10_000;
/** Of one record, to one who asks: a key that is repeated without end is no reason to send all of that. */
const maxTold = 500;
const maxWhoLength = 128;

/**
 * The last things that happened to records, in this process's memory and nowhere else: the store keeps how a record
 * stands, not who was given its response.
 */
export class Recent {
  readonly #slots: Slot[] = [];
  readonly #startedMs = Date.now();
  #next = 0;

  constructor(
    hub: EventHub,
    private readonly capacity = maxSlots,
  ) {
    hub.on("request", ({ key, result, method, status, durationMs, code, hungUp }) => {
      if (key === undefined) return;
      this.#add(key, { kind: "request", atMs: Date.now(), result, method, status, durationMs, code, hungUp });
    });
    hub.on("flightBegun", ({ key }) => {
      if (key !== undefined) this.#add(key, { kind: "dispatched", atMs: Date.now() });
    });
    hub.on("inDoubt", ({ key, cause }) => this.#add(key, { kind: "inDoubt", atMs: Date.now(), cause }));
    hub.on("leaseLost", ({ key }) => this.#add(key, { kind: "leaseLost", atMs: Date.now() }));
    hub.on("audit", ({ key, who, action, result, reason }) =>
      this.#add(key, { kind: "audit", atMs: Date.now(), who: who.slice(0, maxWhoLength), action, result, reason }),
    );
  }

  /** Of all records whose ids begin with these 8 digits, oldest first; the last of them where there are too many. */
  of(prefix: string): Sightings {
    const oldestFirst = [...this.#slots.slice(this.#next), ...this.#slots.slice(0, this.#next)];
    const isWhole = this.#slots.length < this.capacity;
    const seen = oldestFirst.filter(({ key }) => key === prefix).map(({ sighting }) => sighting);
    const told = seen.slice(-maxTold);
    const oldest = told.length < seen.length ? told[0]! : isWhole ? undefined : oldestFirst[0]!.sighting;
    return { sinceMs: oldest?.atMs ?? this.#startedMs, seen: told };
  }

  #add(key: string, sighting: Sighting): void {
    this.#slots[this.#next] = { key: key.slice(0, 8), sighting };
    this.#next = (this.#next + 1) % this.capacity;
  }
}
