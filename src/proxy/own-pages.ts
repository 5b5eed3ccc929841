import { headerValues } from "../rules/headers.js";
import type { Own } from "./gate.js";
import { negotiatePolicy, type PolicyDocument } from "./policy-page.js";

/** A response that depends on the gateway alone. */
export interface OwnPage {
  readonly status: number;
  readonly headers: string[];
  readonly body: string | Buffer;
}

/** What the gateway says about itself, at the head of whatever stands behind it. */
export function ownPage(
  { page, head, allow }: Own,
  policy: PolicyDocument,
  readiness: () => { readonly status: number },
): OwnPage {
  switch (page) {
    case "policy":
      return {
        status: 200,
        ...negotiatePolicy(policy, headerValues(head.rawHeaders, "accept").join(", ") || undefined),
      };
    case "ready": {
      const { status, ...body } = readiness();
      return { status, headers: textHeaders("application/json"), body: JSON.stringify(body) };
    }
    case "options":
      return { status: 204, headers: allow === undefined ? [] : ["Allow", allow], body: "" };
    case "trace":
      return { status: 200, headers: textHeaders("message/http"), body: reflected(head) };
  }
}

function textHeaders(type: string): string[] {
  return ["Content-Type", type, "Cache-Control", "no-store", "X-Content-Type-Options", "nosniff"];
}

/** RFC 9110 §9.3.8: the request as received, less what may be a secret. */
const reflectable: ReadonlySet<string> = new Set(["host", "via", "max-forwards", "user-agent", "traceparent"]);

function reflected({ method, target, rawHeaders }: Own["head"]): string {
  let text = `${method} ${target} HTTP/1.1\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (reflectable.has(rawHeaders[i]!.toLowerCase())) text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  }
  return `${text}\r\n`;
}
