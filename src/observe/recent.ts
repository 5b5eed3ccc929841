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

/**
 * A place in the ring, written over again and again: an object made for each event would outlive its time in the young
 * generation, and be copied twice. What a kind does not use keeps what was there before.
 */
interface Slot {
  /** First 8 digits of the record id, as a number. */
  key: number;
  kind: Sighting["kind"];
  atMs: number;
  result: Result;
  method: string;
  status: number;
  durationMs: number;
  code: ProblemCode | undefined;
  hungUp: boolean;
  cause: DoubtCause;
  audit: Audit | undefined;
}

type Audit = Omit<Extract<Sighting, { kind: "audit" }>, "atMs">;

function emptySlot(): Slot {
  return {
    key: 0,
    kind: "dispatched",
    atMs: 0,
    result: "executed",
    method: "",
    status: 0,
    durationMs: 0,
    code: undefined,
    hungUp: false,
    cause: "reset",
    audit: undefined,
  };
}

function sightingIn({ atMs, kind, ...slot }: Slot): Sighting {
  switch (kind) {
    case "request": {
      const { result, method, status, durationMs, code, hungUp } = slot;
      return { kind, atMs, result, method, status, durationMs, code, hungUp };
    }
    case "inDoubt":
      return { kind, atMs, cause: slot.cause };
    case "audit":
      return { ...slot.audit!, atMs };
    default:
      return { kind, atMs };
  }
}

function numberOf(key: string): number {
  let number = 0;
  for (let i = 0; i < 8; i++) {
    const code = key.charCodeAt(i);
    number = number * 16 + (code < 0x40 ? code - 0x30 : (code | 0x20) - 0x57);
  }
  return number;
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
  #at = 0;

  constructor(
    hub: EventHub,
    private readonly capacity = maxSlots,
  ) {
    hub.on("request", ({ key, result, method, status, durationMs, code, hungUp }) => {
      if (key === undefined) return;
      const slot = this.#next(key, "request");
      slot.result = result;
      slot.method = method;
      slot.status = status;
      slot.durationMs = durationMs;
      slot.code = code;
      slot.hungUp = hungUp;
    });
    hub.on("flightBegun", ({ key }) => {
      if (key !== undefined) this.#next(key, "dispatched");
    });
    hub.on("inDoubt", ({ key, cause }) => {
      this.#next(key, "inDoubt").cause = cause;
    });
    hub.on("leaseLost", ({ key }) => void this.#next(key, "leaseLost"));
    hub.on("audit", ({ key, who, action, result, reason }) => {
      this.#next(key, "audit").audit = { kind: "audit", who: who.slice(0, maxWhoLength), action, result, reason };
    });
  }

  /** Of all records whose ids begin with these 8 digits, oldest first; the last of them where there are too many. */
  of(prefix: string): Sightings {
    const oldestFirst = [...this.#slots.slice(this.#at), ...this.#slots.slice(0, this.#at)];
    const isWhole = this.#slots.length < this.capacity;
    const wanted = numberOf(prefix);
    const seen = oldestFirst.filter(({ key }) => key === wanted).map(sightingIn);
    const told = seen.slice(-maxTold);
    const oldest = told.length < seen.length ? told[0]! : isWhole ? undefined : oldestFirst[0]!;
    return { sinceMs: oldest?.atMs ?? this.#startedMs, seen: told };
  }

  #next(key: string, kind: Sighting["kind"]): Slot {
    let slot = this.#slots[this.#at];
    if (slot === undefined) {
      slot = emptySlot();
      this.#slots.push(slot);
    }
    this.#at = (this.#at + 1) % this.capacity;
    slot.key = numberOf(key);
    slot.kind = kind;
    slot.atMs = Date.now();
    return slot;
  }
}
