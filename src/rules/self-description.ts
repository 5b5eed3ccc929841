import type { AnswerVerdict } from "../model.js";
import { headerValue, trimSpace } from "./headers.js";
import { JsonBody } from "./json.js";
import type { ReadableAnswer } from "./outcome-rules.js";

/** Statuses of a gateway like this one under which a request may end without an answer of the API. */
const gatewayStatuses: ReadonlySet<number> = new Set([409, 500, 502, 503, 504, 508]);

/** What the problem documents of a gateway like this one say of the request that they answer. */
const gatewayCodes: Readonly<Record<string, AnswerVerdict>> = {
  "in-progress": "release",
  "store-unavailable": "release",
  overloaded: "release",
  "upstream-unreachable": "release",
  "loop-detected": "release",
  "outcome-unknown": "unknown",
  "upstream-reset": "unknown",
  "upstream-timeout": "unknown",
  internal: "unknown",
};

/** Header fields by which SDK-minded APIs say that the same request should be sent again. */
const retryFields = ["x-should-retry", "stripe-should-retry"];

/** Codes under which other idempotency layers say that a request with this key is still running. */
const inProgressCode = /in-?progress$|key-?in-?use$|in-?flight$|outstanding$|still-?processing$/;

/** Whether an answer with this status can say so at all: nearly none does, and then nothing else is looked at. */
export function mayDescribeItself(status: number): boolean {
  return gatewayStatuses.has(status);
}

/**
 * What an answer says of itself, where it says that it is not the end of its request: an idempotency layer behind this
 * gateway answers so, and what it says must not become the outcome. `undefined`: it does not say so.
 */
export function selfDescription(answer: ReadableAnswer): AnswerVerdict | undefined {
  const document = new JsonBody(answer.body ?? emptyAnswer);
  const verdict = gatewayVerdict(document, answer.status);
  if (verdict !== undefined || answer.status !== 409) return verdict;
  const { headers } = answer;
  if (headerValue(headers, "retry-after") !== undefined) return "release";
  if (retryFields.some((name) => trimSpace(headerValue(headers, name) ?? "").toLowerCase() === "true"))
    return "release";
  if (["/retryable", "/error/retryable"].some((at) => textAt(document, at) === "true")) return "release";
  return codesOf(document).some((code) => inProgressCode.test(code)) ? "release" : undefined;
}

const emptyAnswer = new Uint8Array(0);

/** Of a 409 its code is enough; of what any server may answer the document must have the very form of this gateway's. */
function gatewayVerdict(document: JsonBody, status: number): AnswerVerdict | undefined {
  const type = textAt(document, "/type") ?? "";
  const code = textAt(document, "/code") ?? lastSegment(type);
  if (!Object.hasOwn(gatewayCodes, code)) return undefined;
  const isOurs = lastSegment(type) === code && (status === 409 || isGatewayForm(document, type));
  return isOurs ? gatewayCodes[code] : undefined;
}

function isGatewayForm(document: JsonBody, type: string): boolean {
  if (type.startsWith("urn:idempotency-gateway:")) return true;
  const retryable = textAt(document, "/retryable");
  return (retryable === "true" || retryable === "false") && textAt(document, "/error/type") === "idempotency_error";
}

/** Where APIs write their codes, in one spelling. */
function codesOf(document: JsonBody): string[] {
  const type = textAt(document, "/type");
  const written = ["/code", "/error/code", "/error", "/errors/0/code"].map((at) => textAt(document, at));
  return [...written, type && lastSegment(type)]
    .filter((code) => code !== undefined)
    .map((code) => code.toLowerCase().replaceAll(/[_ .]/g, "-"));
}

function textAt(document: JsonBody, pointer: string): string | undefined {
  const value = document.valueAt(pointer.slice(1).split("/"));
  return value === undefined || value === "repeated" ? undefined : value.text;
}

/** The code at the end of a problem's type, in whatever form of URI. */
function lastSegment(type: string): string {
  return type.slice(Math.max(type.lastIndexOf("/"), type.lastIndexOf(":"), type.lastIndexOf("#")) + 1);
}
