import type { Fingerprint, HeaderPairs, Policy } from "../model.js";
import { type Framable, frame, sha256 } from "./frame.js";
import { headerValues, isOverrideHeader } from "./headers.js";
import { canonicalJson, type JsonDocument } from "./json.js";

/** What two requests are compared by. */
export interface FingerprintInput {
  readonly method: string;
  /** As received, without the query. */
  readonly rawPath: string;
  /** As received; `undefined` where there is none. */
  readonly query: string | undefined;
  readonly rawHeaders: HeaderPairs;
  /** Whether any method override header is there (`RequestHead.overrides`). */
  readonly isOverridden: boolean;
  readonly body: Buffer;
  /** Only asked for with `body: json`. */
  readonly json: () => JsonDocument | undefined;
}

/** Changes with anything below that changes what is hashed, so that records of another version never match by accident. */
const version = "1";

/** Above this size hashing the body by itself is cheaper than framing its octets. */
const maxFramedBytes = 1024;

export function fingerprint(policy: Policy["fingerprint"], input: FingerprintInput): Fingerprint {
  const fields: Framable[] = policy.headers.map((name) => [name, headerValues(input.rawHeaders, name)]);
  const framed = frame([
    version,
    input.method,
    input.rawPath,
    policy.query ? [input.query] : undefined,
    fields,
    input.isOverridden ? overrides(input.rawHeaders) : [],
    comparedBody(policy, input),
  ]);
  return sha256(framed) as Fingerprint;
}

function overrides(pairs: HeaderPairs): Framable[] {
  const found: Framable[] = [];
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i]!.toLowerCase();
    if (isOverrideHeader(name)) found.push([name, pairs[i + 1]!]);
  }
  return found;
}

/** Says how the body was compared, too: the same octets as JSON and as bytes are two bodies. */
function comparedBody(policy: Policy["fingerprint"], input: FingerprintInput): Framable {
  if (policy.body === "none") return ["none"];
  if (policy.body === "json") {
    const document = input.json();
    if (document !== undefined && !document.hasRepeats) {
      const isAllIgnored = policy.ignore.some((pointer) => pointer.length === 0);
      return ["json", isAllIgnored ? undefined : canonicalJson(document.root, policy.ignore)];
    }
  }
  const { body } = input;
  return body.length <= maxFramedBytes ? ["bytes", body.toString("latin1")] : ["sha256", sha256(body)];
}
