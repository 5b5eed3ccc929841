import type { OutcomeRule, Policy, Route, ScopeSource, Source } from "../model.js";

/**
 * A route's policy in words a client or an operator may read: what `/.well-known/idempotency` publishes and the admin
 * port shows. Upstream and probe addresses are not in it.
 */
export type PolicyView = ReturnType<typeof policyView>;

export function matchView({ match }: Route) {
  return { methods: match.methods === null ? null : [...match.methods], host: match.host, path: match.path };
}

export function policyView(policy: Policy) {
  const { key, fingerprint, outcomes } = policy;
  return {
    key: {
      from: key.sources.map(sourceText),
      ...(key.isFirstOf ? { firstOf: true } : {}),
      required: key.required,
      maxLength: key.maxLength,
      pattern: key.pattern.source,
      strict: key.strict,
      forward: key.forward,
      ...(key.age === null
        ? {}
        : {
            maxAge: isoDuration(key.age.maxAgeMs),
            bornFrom: key.age.header === null ? "key" : `header:${key.age.header}`,
          }),
    },
    scope: policy.scope.map(scopeText),
    namespace: policy.namespace,
    fingerprint: {
      body: fingerprint.body,
      ignore: fingerprint.ignore.map(pointerText),
      headers: [...fingerprint.headers],
      query: fingerprint.query,
    },
    concurrency: policy.concurrency,
    waitTimeout: isoDuration(policy.waitTimeoutMs),
    retention: isoDuration(policy.retentionMs),
    inDoubtRetention: isoDuration(policy.inDoubtRetentionMs),
    outcomes: {
      when: outcomes.when.map(ruleView),
      release: statusTexts(outcomes.release),
      unknown: statusTexts(outcomes.unknown),
    },
    inDoubt: policy.inDoubt,
    storeUnavailable: policy.storeUnavailable,
    maxStoredBytes: policy.maxStoredBytes,
    streamTypes: [...policy.streamTypes],
    replayHeader: policy.replayHeader,
    mode: policy.mode,
  };
}

/** A rule as it is written in the configuration file. */
function ruleView({ status, at, equals, isPresent, verdict }: OutcomeRule) {
  return {
    ...(status === null ? {} : { status: statusTexts(status)[0] }),
    ...(at === null ? {} : "header" in at ? { header: at.header } : { body: pointerText(at.body) }),
    ...(equals === null ? {} : { equals }),
    ...(isPresent ? {} : { present: false }),
    as: verdict,
  };
}

/** Numbers, and `5xx` for a class that is there whole. */
function statusTexts(statuses: ReadonlySet<number>): (number | string)[] {
  const classes = [1, 2, 3, 4, 5].filter((first) => {
    for (let status = first * 100; status < first * 100 + 100; status++) if (!statuses.has(status)) return false;
    return true;
  });
  const single = [...statuses].filter((status) => !classes.includes(Math.floor(status / 100)));
  return [...single, ...classes.map((first) => `${first}xx`)];
}

/** As it is written in the configuration file: `header:Idempotency-Key`, `body:/order/id`. */
export function sourceText(source: Source): string {
  return source.from === "body" ? `body:${pointerText(source.pointer)}` : `${source.from}:${source.name}`;
}

function scopeText(source: ScopeSource): string {
  const isWord = source.from === "client" || source.from === "host";
  return (isWord ? source.from : sourceText(source)) + (source.optional ? "?" : "");
}

/** RFC 6901 §3: `~` and `/` within a reference token are escaped. */
function pointerText(pointer: readonly string[]): string {
  return pointer.map((token) => `/${token.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

const unitsMs = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
] as const;

/** ISO 8601-1 §5.5.2, in the largest unit that leaves no remainder: `PT24H` stays so, as a day need not be 24 hours. */
export function isoDuration(ms: number): string {
  const { unit, amount } = inWholeUnits(ms);
  return unit === "day" ? `P${amount}D` : `PT${amount}${unit.slice(0, 1).toUpperCase()}`;
}

export function durationText(ms: number): string {
  const { unit, amount } = inWholeUnits(ms);
  return `${amount} ${unit}${amount === 1 ? "" : "s"}`;
}

function inWholeUnits(ms: number): { unit: (typeof unitsMs)[number][0]; amount: number } {
  for (const [unit, unitMs] of unitsMs) {
    if (unit === "day" && ms < 2 * unitMs) continue;
    if (ms >= unitMs && ms % unitMs === 0) return { unit, amount: ms / unitMs };
  }
  return { unit: "second", amount: ms / 1000 };
}
