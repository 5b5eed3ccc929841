import type { Logger } from "pino";
import { Registry } from "prom-client";
import type { StoreConfig } from "../config/config.js";
import type { CertificateFile } from "../config/tls-files.js";
import type { Route } from "../model.js";
import { examineStore } from "../store/examine.js";
import type { Finding } from "../store/finding.js";
import type { DoubtCount, RecordStore } from "../store/record-store.js";
import { type Family, facts, register } from "./families.js";
import { Lookout } from "./lookout.js";
import { storeExaminer } from "./store-examiner.js";
import { programVersion } from "./version.js";

/** What is true of a gateway as a whole, however many workers it has: told once for all of them. */
export interface HostSources {
  readonly routes: () => readonly Route[];
  /** That the configuration in force names. */
  readonly certificates: () => readonly CertificateFile[];
  readonly draining: () => boolean;
  /** What is in doubt in the whole store. */
  readonly doubts: Lookout<readonly DoubtCount[]>;
  readonly findings: Lookout<readonly Finding[]>;
}

/** Counting asks the store about each open record, so that it is not done for every scrape. */
const doubtPace = { everyMs: 30_000, patienceMs: 500, believedMs: 90_000 } as const;
/** Settings of a server change rarely, and looking at them takes a connection of its own. */
const findingPace = { everyMs: 300_000, patienceMs: 500, believedMs: 900_000 } as const;

export interface HostParts {
  readonly settings: StoreConfig;
  readonly store: RecordStore;
  readonly routes: () => readonly Route[];
  readonly certificates: () => readonly CertificateFile[];
  readonly draining: () => boolean;
  readonly log: Logger;
}

/**
 * Adds the families to a registry, and returns how to scrape it. The store's settings are looked at now, so that what is
 * unsafe is in the log from the start.
 */
export function observeHost(
  registry: Registry,
  parts: HostParts,
  scrape: () => Promise<string>,
): () => Promise<string> {
  const { routes, certificates, draining, settings, store, log } = parts;
  const findings = new Lookout(
    storeExaminer(() => examineStore(settings), log),
    findingPace,
  );
  const doubts = new Lookout(() => store.census(), doubtPace);
  void findings.refresh();
  for (const family of hostFamilies({ routes, certificates, draining, doubts, findings })) register(registry, family);
  return async () => {
    await Promise.all([doubts.refresh(), findings.refresh()]);
    return scrape();
  };
}

/**
 * Where there are workers, of their primary. prom-client leaves out when they began, since that cannot be added up; what
 * alerts want to know is how long the whole of them runs.
 */
export function primaryRegistry(): Registry {
  const registry = new Registry();
  const beganAtSeconds = Math.round(performance.timeOrigin / 1000);
  register(registry, {
    name: "process_start_time_seconds",
    help: "Start time of the process since unix epoch in seconds.",
    type: "gauge",
    labels: [],
    samples: () => [{ labels: {}, value: beganAtSeconds }],
  });
  return registry;
}

export function hostFamilies(sources: HostSources): Family[] {
  const version = { version: programVersion(), node_version: process.version };
  return [
    facts("build_info", "Always 1; what runs is in the labels.", ["version", "node_version"], () => [[version, 1]]),
    facts("draining", "1 while this gateway drains before it ends.", [], () => [[{}, sources.draining() ? 1 : 0]]),
    facts(
      "in_doubt_records",
      "Records of the whole store that are in doubt, counted at most every 30 s. From some 10000 on it is a lower bound.",
      ["route"],
      () => doubtsOf(sources, ({ records }) => records),
    ),
    facts(
      "in_doubt_oldest_age_seconds",
      "Age of the oldest record in doubt since its first claim, 0 when there is none.",
      ["route"],
      () => doubtsOf(sources, ({ oldestAgeMs }, agoMs) => (oldestAgeMs + agoMs) / 1000),
    ),
    facts(
      "tls_not_after_seconds",
      "When the certificate in a file ends, since unix epoch; of several the first.",
      ["file"],
      () => sources.certificates().map(({ file, notAfterMs }) => [{ file }, notAfterMs / 1000]),
    ),
    facts(
      "in_doubt_soonest_expiry_seconds",
      "Time until the first record in doubt is forgotten; no sample where there is none.",
      ["route"],
      () =>
        (sources.doubts.seen()?.value ?? []).map(({ route, soonestExpiryMs }) => {
          const leftMs = soonestExpiryMs - sources.doubts.seen()!.ageMs;
          return [{ route }, Math.max(0, leftMs / 1000)] as const;
        }),
    ),
    facts("store_unsafe_setting", "1 where a setting of the record store allows records to vanish.", ["check"], () =>
      unsafeOf(sources.findings.seen()?.value ?? []),
    ),
  ];
}

type Reading = readonly [labels: Readonly<Record<string, string>>, value: number];

/** No sample at all while nobody knows: a 0 would say that all is well. */
function doubtsOf(
  { routes, doubts }: HostSources,
  read: (count: DoubtCount, agoMs: number) => number,
): readonly Reading[] {
  const seen = doubts.seen();
  if (seen === undefined) return [];
  const readings = new Map<string, number>();
  for (const { name, policy } of routes()) if (policy !== null) readings.set(name, 0);
  for (const count of seen.value) readings.set(count.route, read(count, seen.ageMs));
  return Array.from(readings, ([route, value]) => [{ route }, value] as const);
}

/** The findings that are about a setting. Of several servers of a cluster the worst one counts. */
const settings: ReadonlyMap<string, string> = new Map([
  ["redis eviction", "eviction"],
  ["redis persistence", "persistence"],
  ["redis replicas", "replicas"],
]);

function unsafeOf(findings: readonly Finding[]): readonly Reading[] {
  const worst = new Map<string, number>();
  for (const { check, state } of findings) {
    const setting = settings.get(check);
    if (setting === undefined) continue;
    worst.set(setting, Math.max(worst.get(setting) ?? 0, state === "unsafe" ? 1 : 0));
  }
  return Array.from(worst, ([check, value]) => [{ check }, value] as const);
}
