import { isUsual } from "./compile-outcomes.js";
import type { Findings } from "./findings.js";
import { type StatusSetting, statusSet } from "./status.js";
import type { Subject } from "./validate-route.js";

const [releaseAt, unknownAt] = ["idempotency.outcomes.release", "idempotency.outcomes.unknown"] as const;

/** Statuses that a proxy makes after it has sent the request, too. */
const madeOnTheWay = [502, 503, 504];

export function checkOutcomes(subject: Subject, findings: Findings): void {
  checkLists(subject);
  checkRules(subject);
  warnOfRelease(subject, findings);
}

/** What is written in both lists is a mistake; a list as it is by default gives way. */
function checkLists({ policy, isSound, refuse }: Subject): void {
  const { release, unknown } = policy.outcomes;
  if (isUsual("release", release) || isUsual("unknown", unknown)) return;
  const others = new Set(release.map(spelling));
  for (const [index, status] of unknown.entries()) {
    const setting = `${unknownAt}[${index}]`;
    if (isSound(setting) && others.has(spelling(status))) refuse(setting, `${status} is in outcomes.release as well`);
  }
}

/** `5XX` is `5xx`. A place with a mistake of its own holds nothing. */
function spelling(status: StatusSetting | undefined): string {
  return String(status).toLowerCase();
}

function checkRules({ policy, isSound, refuse }: Subject): void {
  for (const [index, { status, header, body, equals, present }] of policy.outcomes.when.entries()) {
    const at = `idempotency.outcomes.when[${index}]`;
    if (!isSound(at)) continue;
    if (header !== undefined && body !== undefined) refuse(`${at}.body`, "and header are two rules: name one of them");
    const isAnywhere = header !== undefined || body !== undefined;
    if (!isAnywhere && equals !== undefined) refuse(`${at}.equals`, "needs a header or a body pointer to compare");
    if (!isAnywhere && present !== undefined) refuse(`${at}.present`, "needs a header or a body pointer to look for");
    if (isAnywhere && equals !== undefined && present === false) {
      refuse(`${at}.present`, "false says that nothing is there, and equals says what is there");
    }
    if (!isAnywhere && status === undefined) refuse(at, "fits every answer: name a status, a header or a body pointer");
  }
}

function warnOfRelease({ policy, at, isSound }: Subject, findings: Findings): void {
  const { release } = policy.outcomes;
  if (isUsual("release", release) || !isSound(releaseAt)) return;
  const named = statusSet(release);
  const doubtful = madeOnTheWay.filter((status) => named.has(status));
  if (doubtful.length === 0) return;
  findings.warning(
    at(releaseAt),
    `takes ${doubtful.join(", ")} for "not done"; a proxy before the API may answer so after the API has acted, and then the retry acts again`,
  );
}
