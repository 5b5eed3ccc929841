import t from "tap";
import type { Outcome, OutcomeRule, Policy } from "../../src/model.js";
import { settlement } from "../../src/rules/outcome.js";
import { policy } from "../engine/fixture.js";

const error = new Error("broken");

function answer(status: number, headers: readonly string[] = [], body: unknown = "", trailers: string[] = []): Outcome {
  const octets = Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
  return { kind: "answered", response: { status, reason: "", headers, body: octets, trailers } };
}

const saying = (status: number, body: unknown, ...headers: string[]) => answer(status, headers, body);
const kindOf = (outcome: Outcome, ruled: Policy = policy) => settlement(outcome, ruled, null).kind;

t.test("an answer that says of itself that it is not final never ends its record", (t) => {
  const released: Record<string, Outcome> = {
    "409 with Retry-After": saying(409, "", "retry-after", "1"),
    "409 with Retry-After of any letter case": saying(409, "", "RETRY-AFTER", "Wed, 21 Oct 2026 07:28:00 GMT"),
    "409 and retryable": saying(409, { retryable: true }),
    "409 and its error is retryable": saying(409, { error: { retryable: true } }),
    "409 and a field of an SDK": saying(409, "", "Stripe-Should-Retry", "true"),
    "409 idempotency_key_in_use": saying(409, { error: { code: "idempotency_key_in_use", message: "x" } }),
    "409 of an array of errors": saying(409, { errors: [{ code: "REQUEST_IN_PROGRESS" }] }),
    "409 and a problem type": saying(
      409,
      { type: "https://api.example/problems/request-in-progress" },
      "content-type",
      "application/problem+json",
    ),
    "a gateway's in-progress": saying(409, problem("in-progress", true)),
    "a gateway's store-unavailable": saying(503, problem("store-unavailable", true)),
    "a gateway's upstream-unreachable": saying(502, problem("upstream-unreachable", true)),
    "a gateway's overloaded, with a type base of its own": saying(503, problem("overloaded", true, "https://x/#")),
    "a gateway's loop-detected": saying(508, problem("loop-detected", false)),
  };
  for (const [what, outcome] of Object.entries(released)) t.equal(kindOf(outcome), "release", what);
  const doubted: Record<string, Outcome> = {
    "a gateway's outcome-unknown": saying(409, problem("outcome-unknown", false)),
    "a gateway's outcome-unknown, with Retry-After": saying(409, problem("outcome-unknown", false), "retry-after", "1"),
    "a gateway's upstream-timeout": saying(504, problem("upstream-timeout", false)),
    "a gateway's internal": saying(500, problem("internal", false)),
  };
  for (const [what, outcome] of Object.entries(doubted)) {
    t.match(settlement(outcome, policy, null), { kind: "strand", cause: "status" }, what);
  }
  t.end();
});

t.test("an answer that is the API's own word stays final", (t) => {
  const finals: Record<string, Outcome> = {
    "409 alone": saying(409, { error: { code: "already_exists" } }),
    "409, not retryable": saying(409, { retryable: false }),
    "409, no JSON": saying(409, "in-progress"),
    "409, a member twice": saying(409, '{"retryable":true,"retryable":true}'),
    "a gateway's response-not-stored": saying(409, problem("response-not-stored", false)),
    "a gateway's key-reused": saying(422, problem("key-reused", false)),
    "500 of an API whose code is internal": saying(500, { type: "https://x/internal", code: "internal" }),
    "422 and retryable": saying(422, { retryable: true }, "retry-after", "1"),
    "201 with Retry-After": saying(201, { retryable: true }, "retry-after", "1"),
  };
  for (const [what, outcome] of Object.entries(finals)) t.equal(kindOf(outcome), "complete", what);
  const other503 = saying(503, { type: "about:blank", code: "overloaded", retryable: true });
  t.equal(kindOf(other503, withRules([])), "strand", "503 of any other server is by its status");
  t.end();
});

t.test("rules read status, header, trailers and body, and the first that fits decides", (t) => {
  const rules: OutcomeRule[] = [
    rule({ status: new Set([503]), at: { header: "retry-after" }, verdict: "release" }),
    rule({ at: { header: "transient-error" }, equals: "true", verdict: "release" }),
    rule({ at: { header: "grpc-status" }, equals: "14", verdict: "unknown" }),
    rule({ at: { body: ["errors", "0", "extensions", "code"] }, equals: "THROTTLED", verdict: "release" }),
    rule({ at: { body: ["errors"] }, verdict: "unknown" }),
    rule({ status: new Set([409]), verdict: "final" }),
    rule({ status: new Set([202]), at: { header: "location" }, isPresent: false, verdict: "unknown" }),
    rule({ at: { body: ["ok"] }, equals: "false", verdict: "unknown" }),
  ];
  const ruled = withRules(rules);
  const expected: [what: string, outcome: Outcome, kind: string][] = [
    ["503 with the field", saying(503, "", "Retry-After", "1"), "release"],
    ["503 without it", saying(503, ""), "strand"],
    ["a field's value, spaces around it", saying(200, "", "Transient-Error", " true "), "release"],
    ["another value", saying(200, "", "Transient-Error", "false"), "complete"],
    ["the second of two values", saying(200, "", "transient-error", "no", "transient-error", "true"), "release"],
    ["a trailer", answer(200, [], "", ["grpc-status", "14"]), "strand"],
    ["a place in the body", saying(200, { errors: [{ extensions: { code: "THROTTLED" } }] }), "release"],
    ["anything at a place", saying(200, { errors: [{}] }), "strand"],
    ["no JSON", saying(200, "errors"), "complete"],
    ["final by a rule, whatever it says of itself", saying(409, { retryable: true }), "complete"],
    ["a field that is absent", saying(202, ""), "strand"],
    ["a field that is there", saying(202, "", "Location", "/1"), "complete"],
    ["a word of JSON by its text", saying(200, { ok: false }), "strand"],
    ["a string of the same text", saying(200, { ok: "false" }), "strand"],
    ["neither", saying(200, { ok: true }), "complete"],
  ];
  for (const [what, outcome, kind] of expected) t.equal(kindOf(outcome, ruled), kind, what);
  const streamed = { status: 200, reason: "", headers: [], endless: false, body: undefined as never };
  t.equal(kindOf({ kind: "streamed", response: streamed }, ruled), "complete", "a body that is passed on is not read");
  t.end();
});

t.test("what a second attempt is told settles a doubt only where it succeeded", (t) => {
  const usual = withRules([]);
  const settled = [200, 201, 204, 301, 303];
  const kept = [307, 400, 401, 404, 409, 422, 429, 500, 502, 503, 504];
  for (const status of settled)
    t.match(settlement(answer(status), usual, "timeout"), { kind: "complete" }, `${status}`);
  for (const status of kept) {
    t.match(settlement(answer(status), usual, "timeout"), { kind: "strand", cause: "timeout" }, `${status}`);
  }
  const lost: Outcome = { kind: "unanswered", error, cause: "reset" };
  t.match(settlement(lost, usual, "lease_expired"), { kind: "strand", cause: "lease_expired" });
  t.match(settlement({ kind: "unsent", error }, usual, "timeout"), { kind: "withdraw" });
  t.match(settlement({ kind: "unsent", error }, usual, null), { kind: "release" });
  const spoilt = withRules([rule({ at: { header: "failed" }, verdict: "release" })]);
  t.match(settlement(saying(200, "", "Failed", "1"), spoilt, "reset"), { kind: "strand", cause: "reset" });
  t.end();
});

function withRules(when: readonly OutcomeRule[]): Policy {
  return { ...policy, outcomes: { when, release: new Set([307, 401, 429]), unknown: new Set([502, 503, 504]) } };
}

function rule(written: Partial<OutcomeRule> & Pick<OutcomeRule, "verdict">): OutcomeRule {
  return { status: null, at: null, equals: null, isPresent: true, ...written };
}

/** As a gateway like this one writes it. */
function problem(code: string, retryable: boolean, typeBase = "urn:idempotency-gateway:problem:") {
  return { type: typeBase + code, title: "x", code, retryable, error: { type: "idempotency_error", code } };
}
