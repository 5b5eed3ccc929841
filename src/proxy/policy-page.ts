import type { Config } from "../config/config.js";
import { policyContentSecurity, policyHtml } from "./policy-html.js";
import { publishedPolicy } from "./published-policy.js";

/** What `/.well-known/idempotency` says, rendered once for each configuration. */
export interface PolicyDocument {
  readonly json: Buffer;
  readonly html: Buffer;
}

export function policyDocument(config: Config): PolicyDocument {
  const policy = publishedPolicy(config);
  return { json: Buffer.from(`${JSON.stringify(policy, null, 2)}\n`), html: Buffer.from(policyHtml(policy)) };
}

/** The answer for this `Accept`, headers as pairs. */
export function negotiatePolicy(
  document: PolicyDocument,
  accept: string | undefined,
): { headers: string[]; body: Buffer } {
  const isHtml = prefersHtml(accept);
  const body = isHtml ? document.html : document.json;
  const headers = [
    ["Content-Type", isHtml ? "text/html; charset=utf-8" : "application/json"],
    ["Content-Language", "en"],
    ["Content-Length", String(body.length)],
    ["Cache-Control", "no-cache"],
    ["Vary", "Accept"],
    ["X-Content-Type-Options", "nosniff"],
    ["Content-Security-Policy", policyContentSecurity],
  ].flat();
  return { headers, body };
}

/** A browser names HTML with a higher weight than what JSON comes under; a client that says nothing gets JSON. */
export function prefersHtml(accept: string | undefined): boolean {
  if (accept === undefined) return false;
  const weights = new Map<string, number>();
  for (const range of accept.toLowerCase().split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim());
    const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2) ?? "1";
    weights.set(type, Number(weight) || 0);
  }
  const weightOf = (...types: string[]) => weights.get(types.find((type) => weights.has(type)) ?? "") ?? 0;
  return weightOf("text/html", "text/*", "*/*") > weightOf("application/json", "application/*", "*/*");
}
