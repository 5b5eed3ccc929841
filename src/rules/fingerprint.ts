import type { Fingerprint, HeaderPairs, Policy, Route } from "../model.js";
import { canonicalJson } from "./canonical-json.js";
import { type Framable, frame, sha256 } from "./frame.js";
import { headerValues } from "./headers.js";
import { isOverrideHeader, queryOverrides } from "./method-override.js";
import { canonicalPairs } from "./pairs.js";
import { foldCase } from "./path.js";

/** What two requests are compared by. */
export interface FingerprintInput {
  readonly method: string;
  /** As `comparedPath` has it. */
  readonly path: string;
  /** As received; `undefined` where there is none. */
  readonly query: string | undefined;
  /** Parameters of the query that say nothing new: the key that was found elsewhere. */
  readonly isLeftOut?: ((name: string, value: string) => boolean) | undefined;
  readonly rawHeaders: HeaderPairs;
  /** Whether there is any method override (`RequestHead.overrides`). */
  readonly isOverridden: boolean;
  /** Without its content coding; as it came where that cannot be decoded. */
  readonly body: Buffer;
}

/** Changes with anything below that changes what is hashed, so that records of another version never match by accident. */
const version = "2";

/** Above this size hashing the body by itself is cheaper than framing its octets. */
const maxFramedBytes = 1024;

export function fingerprint(policy: Policy["fingerprint"], input: FingerprintInput): Fingerprint {
  const fields: Framable[] = policy.headers.map((name) => [name, headerValues(input.rawHeaders, name)]);
  const framed = frame([
    version,
    input.method,
    input.path,
    comparedQuery(policy, input),
    fields,
    input.isOverridden ? overrides(input) : [],
    comparedBody(policy, input.body),
  ]);
  return sha256(framed) as Fingerprint;
}

/**
 * The canonical path, with the letter case folded that the route's pattern folds. Where a name or a star stands in the
 * pattern the case stays: it may tell two things of the API apart.
 */
export function comparedPath({ path, caseSensitive }: Route["match"], canonical: string): string {
  if (caseSensitive) return canonical;
  if (!path.includes(":") && !path.includes("*")) return foldCase(canonical);
  const pattern = path.split("/");
  const isLiteral = (at: number) => at < pattern.length && !pattern[at]!.startsWith(":") && pattern[at] !== "*";
  return canonical
    .split("/")
    .map((segment, at) => (isLiteral(at) ? foldCase(segment) : segment))
    .join("/");
}

function comparedQuery({ query }: Policy["fingerprint"], input: FingerprintInput): Framable {
  if (query === false) return undefined;
  const { isLeftOut } = input;
  if (query === true || query.ignore.length === 0) return canonicalPairs(input.query, isLeftOut);
  const { ignore } = query;
  return canonicalPairs(input.query, (name, value) => ignore.includes(name) || isLeftOut?.(name, value) === true);
}

function overrides({ rawHeaders, query }: FingerprintInput): Framable[] {
  const found: Framable[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase();
    if (isOverrideHeader(name)) found.push([name, rawHeaders[i + 1]!]);
  }
  for (const method of queryOverrides(query)) found.push(["?", method]);
  return found;
}

/** Says how the body was compared, too: the same octets as JSON and as bytes are two bodies. */
function comparedBody(policy: Policy["fingerprint"], body: Buffer): Framable {
  if (policy.body === "none") return ["none"];
  if (policy.body === "bytes") return framedBytes("bytes", body);
  const json = canonicalJson(body, policy.ignore);
  return json === undefined ? framedBytes("bytes", body) : framedBytes("json", json);
}

function framedBytes(kind: string, bytes: Buffer): Framable {
  return bytes.length <= maxFramedBytes ? [kind, bytes.toString("latin1")] : [kind, "sha256", sha256(bytes)];
}
