import type { Registry } from "prom-client";
import type { Contents } from "../config/files.js";
import type { Sightings } from "../observe/recent.js";

/*
 * What a primary and its workers say to each other, over the channel that Node opens between them. It goes as JSON.
 */

/** Octets in base64; `null` for a file that could not be read. */
export type Files = readonly (readonly [name: string, octets: string | null])[];

/** A worker's first word, when it can hear: what was said to it before is lost. */
export interface Hello {
  readonly hello: true;
}

/** The answer: what it runs by. `null`: there is no file. */
export interface Briefing {
  readonly briefing: {
    /** What the primary began with: settings that a reload cannot change are taken from here. */
    readonly atStart: Files;
    /** The last that was not refused since then; `null`: there was none. */
    readonly reloaded: Files | null;
  } | null;
}

export type Order = { readonly order: "drain" } | { readonly order: "reload"; readonly files: Files };

/** What a worker is asked, and the answer. */
export interface Question {
  readonly question: number;
  readonly about: { readonly prefix: string } | "metrics";
}
export interface Report {
  readonly question: number;
  readonly report: Sightings | Metrics;
}
export type Metrics = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/** It listens. */
export interface Ready {
  readonly ready: true;
}

export function packed(contents: Contents): Files {
  return [...contents].map(([name, octets]) => [name, octets?.toString("base64") ?? null]);
}

export function unpacked(files: Files): Contents {
  return new Map(files.map(([name, octets]) => [name, octets === null ? null : Buffer.from(octets, "base64")]));
}
