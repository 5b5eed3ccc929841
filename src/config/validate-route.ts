import type { ScopeSource, Source } from "../model.js";
import { formatDuration } from "./duration.js";
import type { Findings } from "./findings.js";
import { keySettingOf, placesOf } from "./key-places.js";
import type { Parsed } from "./parsed.js";
import { canonicalPattern, parameterNames } from "./path-pattern.js";
import { pathPlaceholders } from "./probe-url.js";
import { writtenAt } from "./routes.js";
import type { RouteSettings } from "./schema.js";
import { parseScopeSource, parseSource } from "./source.js";
import { checkOutcomes } from "./validate-outcomes.js";
import { isNewInEachAttempt } from "./volatile-header.js";

type Policy = NonNullable<RouteSettings["idempotency"]>;

/** What a route's checks need: the settings, and a way to tell what is wrong with one of them, or to leave it alone. */
export interface Subject {
  readonly route: RouteSettings;
  readonly policy: Policy;
  /** Where the setting is written, in the route or in `defaults`. */
  readonly at: (setting: string) => string;
  readonly isSound: (...settings: readonly string[]) => boolean;
  readonly refuse: (setting: string, message: string) => void;
  readonly warn: (setting: string, message: string) => void;
}

export function validateRoutes(routes: readonly RouteSettings[], findings: Findings): void {
  checkNames(routes, findings);
  checkOverlaps(routes, findings);
  for (const [index, route] of routes.entries()) {
    checkCors(route, index, findings);
    if (route.idempotency === undefined) continue;
    const at = (setting: string) => writtenAt(findings, index, setting);
    const subject: Subject = {
      route,
      policy: route.idempotency,
      at,
      isSound: (...settings) => findings.isSound(...settings.map(at)),
      refuse: (setting, message) => findings.mistake(at(setting), message),
      warn: (setting, message) => findings.warning(at(setting), message),
    };
    checkAmbiguity(subject);
    checkSources(subject);
    checkKey(subject);
    checkKeyAge(subject);
    checkScope(subject);
    checkFingerprint(subject);
    checkOutcomes(subject, findings);
    checkRetention(subject, findings);
    checkProbe(subject);
  }
}

function checkNames(routes: readonly RouteSettings[], findings: Findings): void {
  const firsts = new Map<string, number>();
  for (const [index, { name }] of routes.entries()) {
    const path = `routes[${index}].name`;
    if (!findings.isSound(path)) continue;
    const first = firsts.get(name);
    if (first === undefined) firsts.set(name, index);
    else findings.mistake(path, `"${name}" is the name of routes[${first}] already${onLine(findings, first)}`);
  }
}

/** Two routes that take the very same requests: which one would win is anybody's guess. */
function checkOverlaps(routes: readonly RouteSettings[], findings: Findings): void {
  const byPattern = new Map<string, number[]>();
  for (const [index, route] of routes.entries()) {
    if (!findings.isSound(`routes[${index}].match`)) continue;
    const pattern = patternOf(route);
    const others = byPattern.get(pattern) ?? [];
    byPattern.set(pattern, [...others, index]);
    const first = others.find((other) => shareMethod(routes[other]!, route));
    if (first === undefined) continue;
    const message = `takes the same requests as routes[${first}] "${routes[first]?.name}"${onLine(findings, first)}`;
    findings.mistake(`routes[${index}].match.path`, message);
  }
}

function onLine(findings: Findings, index: number): string {
  return ` (line ${findings.placeOf(`routes[${index}]`).line})`;
}

/** Equal for routes that the router cannot tell apart by anything but their methods. */
function patternOf({ match: { host, path, caseSensitive } }: RouteSettings): string {
  return JSON.stringify([host?.toLowerCase(), caseSensitive, canonicalPattern(path, caseSensitive)]);
}

/** A route that names its methods goes before one that takes all of them, so these two do not compete. */
function shareMethod(a: RouteSettings, b: RouteSettings): boolean {
  const [ofA, ofB] = [methodsOf(a), methodsOf(b)];
  return ofA === null || ofB === null ? ofA === ofB : ofA.some((method) => ofB.includes(method));
}

/** `null`: every method. */
export function methodsOf({ match, idempotency }: RouteSettings): readonly string[] | null {
  return match.methods ?? (idempotency === undefined ? null : ["POST", "PATCH"]);
}

/** The Fetch standard lets no page read an answer to `*` that its credentials were sent for. */
function checkCors({ cors }: RouteSettings, index: number, findings: Findings): void {
  const at = writtenAt(findings, index, "cors.allowCredentials");
  if (!cors.allowCredentials || !cors.allowOrigins.includes("*") || !findings.isSound(at)) return;
  findings.mistake(at, 'needs origins by name: allowOrigins has "*"');
}

function checkAmbiguity({ route, refuse }: Subject): void {
  if (route.match.ambiguousPaths !== "forward") return;
  refuse(
    "match.ambiguousPaths",
    "forward is for routes without idempotency: another spelling of a path must not slip past",
  );
}

/** Key and scope: `path:NAME` is a parameter of the path, and nothing is named twice. */
function checkSources(subject: Subject): void {
  const { from } = subject.policy.key;
  checkSourceList(subject, placesOf(from), (index) => keySettingOf(from, index), parseSource);
  checkSourceList(subject, subject.policy.scope, (index) => `idempotency.scope[${index}]`, parseScopeSource);
}

function checkSourceList(
  subject: Subject,
  written: readonly string[],
  settingAt: (index: number) => string,
  parse: (written: string) => Parsed<Source | ScopeSource>,
): void {
  const seen = new Set<string>();
  for (const [index, text] of written.entries()) {
    const setting = settingAt(index);
    const source = subject.isSound(setting) ? parse(text) : undefined;
    if (!source?.ok) continue;
    if (source.value.from === "path") checkParameter(subject, source.value.name, setting);
    const identity = identityOf(source.value);
    if (seen.has(identity)) subject.refuse(setting, `${identity} is listed twice`);
    seen.add(identity);
  }
}

function identityOf(source: Source | ScopeSource): string {
  if (source.from === "client" || source.from === "host") return source.from;
  if (source.from === "body") return `body:${source.pointer.map((token) => `/${token}`).join("")}`;
  return `${source.from}:${source.from === "header" ? source.name.toLowerCase() : source.name}`;
}

function checkParameter({ route, at, isSound, refuse }: Subject, name: string, setting: string): void {
  if (!isSound("match.path")) return;
  const known = parameterNames(route.match.path);
  if (known.includes(name)) return;
  const where = at(setting).startsWith("defaults") ? ` of route "${route.name}"` : "";
  const have = known.length > 0 ? `, which has :${known.join(", :")}` : "";
  refuse(setting, `match.path ${route.match.path}${where} has no parameter :${name}${have}`);
}

function checkKey({ policy, isSound, refuse }: Subject): void {
  if (policy.key.forward || !isSound("idempotency.key.from", "idempotency.key.forward")) return;
  if (placesOf(policy.key.from).every((written) => /^(header|query):/.test(written))) return;
  refuse(
    "idempotency.key.forward",
    "false is for a key in headers or the query: path, cookies and body are passed on as they came",
  );
}

/** What works, and surely not as it was meant. */
function checkKeyAge({ policy, isSound, warn }: Subject): void {
  const { maxAge, bornFrom } = policy.key;
  if (!isSound("idempotency.key", "idempotency.retention")) return;
  if (maxAge === undefined) {
    if (bornFrom !== undefined) warn("idempotency.key.bornFrom", "says nothing without maxAge");
  } else if (maxAge > policy.retention) {
    const kept = formatDuration(policy.retention);
    warn("idempotency.key.maxAge", `is longer than retention (${kept}): a key between the two may run a second time`);
  }
}

function checkScope({ policy, isSound, warn }: Subject): void {
  for (const [index, written] of policy.scope.entries()) {
    const setting = `idempotency.scope[${index}]`;
    const source = isSound(setting) ? parseScopeSource(written) : undefined;
    if (!source?.ok || source.value.from !== "header" || !isNewInEachAttempt(source.value.name)) continue;
    warn(setting, `${written} is new in each attempt of most clients: no retry would find its record`);
  }
}

function checkFingerprint({ policy, isSound, refuse }: Subject): void {
  const { body, ignore } = policy.fingerprint;
  if (ignore.length === 0 || body === "json" || !isSound("idempotency.fingerprint.body")) return;
  refuse("idempotency.fingerprint.ignore", `works with body: json only, and body is ${body}`);
}

/** A record has to outlive the request it is about, or a paused gateway's is forgotten while its call runs. */
function checkRetention({ route, policy, at, isSound }: Subject, findings: Findings): void {
  const [retentionAt, heldAt] = ["idempotency.retention", "idempotency.inDoubtRetention"];
  if (!isSound(retentionAt, heldAt, "idempotency.lease", "upstream.timeout")) return;
  const [longest, what] =
    policy.lease > route.upstream.timeout ? [policy.lease, "lease"] : [route.upstream.timeout, "upstream.timeout"];
  const tooShort = `is shorter than ${what} (${formatDuration(longest)})`;
  if (Math.max(policy.inDoubtRetention, policy.retention) < longest) {
    findings.mistake(at(heldAt), `${tooShort}: a doubt could be forgotten while its request still runs`);
  } else if (policy.retention < longest) {
    findings.warning(at(retentionAt), `${tooShort}: a retry after a slow answer may run the request again`);
  }
  if (findings.isWritten(at(heldAt)) && policy.inDoubtRetention < policy.retention) {
    findings.warning(at(heldAt), `is shorter than retention (${formatDuration(policy.retention)}), which then holds`);
  }
}

function checkProbe(subject: Subject): void {
  const { policy, isSound, refuse } = subject;
  const { probe, inDoubt } = policy;
  if (!isSound("idempotency.inDoubt")) return;
  if (inDoubt !== "probe") {
    if (probe !== undefined) refuse("idempotency.probe", `works with inDoubt: probe only, and inDoubt is ${inDoubt}`);
    return;
  }
  if (probe === undefined) {
    refuse("idempotency.inDoubt", "probe needs to know whom to ask: set idempotency.probe.url");
    return;
  }
  for (const [index, status] of probe.notDone.entries()) {
    const setting = `idempotency.probe.notDone[${index}]`;
    if (isSound(setting) && probe.done.includes(status)) refuse(setting, `${status} is in done as well`);
  }
  if (isSound("idempotency.probe.url")) checkPlaceholders(subject, probe.url);
}

function checkPlaceholders(subject: Subject, url: string): void {
  for (const name of pathPlaceholders(url)) checkParameter(subject, name, "idempotency.probe.url");
}
