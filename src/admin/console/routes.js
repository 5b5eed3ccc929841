import { call } from "./api.js";
import { el, facts, viewHeading } from "./dom.js";
import { bytes } from "./format.js";

/** The routes in force, and what each of them promises. */
export function openRoutes(at) {
  const list = el("div", { class: "stack" }, el("p", { class: "note" }, "Looking…"));
  at.append(viewHeading("Routes in force"), list);
  const show = async () => {
    try {
      const { data } = await call("GET", "v1/routes");
      list.replaceChildren(...(data.routes.length === 0 ? [el("p", {}, "None.")] : data.routes.map(routeCard)));
    } catch (error) {
      list.replaceChildren(el("p", { class: "trouble", role: "alert" }, error.message));
    }
  };
  void show();
}

function routeCard({ name, match, upstream, idempotency }) {
  const methods = match.methods === null ? "any method" : match.methods.join(", ");
  return el(
    "article",
    { class: "route" },
    el("h2", {}, name),
    el(
      "p",
      { class: "match" },
      el("code", {}, `${methods} ${match.host ?? ""}${match.path}`),
      el("span", { class: "meaning" }, `to ${upstream.url}`),
    ),
    idempotency === null
      ? el("p", { class: "note" }, "Not protected: streamed through untouched.")
      : policyFacts(idempotency, upstream),
  );
}

const inDoubtWords = {
  hold: "held until it is resolved",
  retry: "the next request runs it again",
  probe: "the API is asked",
};

function policyFacts(policy, upstream) {
  const { key, fingerprint, outcomes, probe } = policy;
  return facts([
    [
      "Key",
      el(
        "span",
        {},
        code(key.from.join(" + ")),
        ` ${key.required ? "required" : "optional"}, at most ${key.maxLength} characters`,
      ),
    ],
    ["Whose key", policy.scope.length === 0 ? "everybody's" : code(policy.scope.join(" + "))],
    ["Namespace", policy.namespace],
    [
      "Same request",
      `method, path, ${fingerprint.query ? "query, " : ""}body: ${fingerprint.body}${fingerprint.headers.length > 0 ? `, ${fingerprint.headers.join(", ")}` : ""}${fingerprint.ignore.length > 0 ? `, without ${fingerprint.ignore.join(", ")}` : ""}`,
    ],
    [
      "Concurrent ones",
      policy.concurrency === "wait"
        ? `wait up to ${policy.waitTimeout}, ${policy.maxWaiters} for one key`
        : "are rejected",
    ],
    ["Kept for", policy.retention],
    ["Lease", `${policy.lease}, renewed; upstream may take ${upstream.timeout}`],
    ["Not done", `${list(outcomes.release)}: the next retry runs`],
    ["Unknown", `${list(outcomes.unknown)}: in doubt`],
    ["In doubt", `${policy.inDoubt}: ${inDoubtWords[policy.inDoubt] ?? ""}`],
    [
      "Probe",
      probe === null
        ? null
        : el(
            "span",
            {},
            code(`${probe.method} ${probe.url}`),
            ` done on ${list(probe.done)}, not done on ${list(probe.notDone)}`,
          ),
    ],
    [
      "Store away",
      policy.storeUnavailable === "bypass" ? "bypass: forwarded unprotected" : "reject: 503, nothing is sent",
    ],
    [
      "Responses",
      `stored up to ${bytes(policy.maxStoredBytes)}, but for streams (${list(policy.streamTypes)})${policy.omitHeaders.length > 0 ? `, without ${policy.omitHeaders.join(", ")}` : ""}`,
    ],
    ["Mode", policy.mode === "observe" ? "observe: counted, nothing is changed" : policy.mode],
  ]);
}

function code(text) {
  return el("code", {}, text);
}

function list(numbers) {
  return numbers.length === 0 ? "none" : numbers.join(", ");
}
