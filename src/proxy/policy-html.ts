import { createHash } from "node:crypto";
import type { PublishedPolicy } from "./published-policy.js";

type PublishedRoute = PublishedPolicy["routes"][number];

const style = `:root{color-scheme:light dark;font:1rem/1.55 system-ui,sans-serif}
body{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 4rem;overflow-wrap:break-word}
h1,h2,h3{line-height:1.2}h2{margin-top:2.5rem}
code{font-family:ui-monospace,monospace;font-size:.92em}
section{border:1px solid GrayText;border-radius:.5rem;padding:0 1rem 1rem;margin:1rem 0}
dl{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:.35rem 1.25rem;margin:0}
dt{font-weight:600}dd{margin:0;min-width:0}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.45rem .75rem .45rem 0;border-bottom:1px solid GrayText}
tr:target{outline:2px solid Highlight}
.wide{overflow-x:auto}
@media(max-width:40rem){dl{grid-template-columns:1fr}dd{margin-bottom:.5rem}}`;

/** The page runs nothing and loads nothing; its one style sheet is named by its hash. */
export const policyContentSecurity = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(style).digest("base64")}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export function policyHtml({ routes, problems }: PublishedPolicy): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Idempotency policy</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>Idempotency policy</h1>
<p>Send an unsafe request with an idempotency key of your own, and repeat it with the same key as often as you must:
it reaches the service at most once, and each repetition gets the response of the first.
Ask for <code>application/json</code> to read this page with a program.</p>
<h2 id="routes">Protected requests</h2>
${routes.length === 0 ? "<p>None.</p>" : routes.map(routeSection).join("\n")}
<h2 id="problems">Problem codes</h2>
<div class="wide">
<table>
<thead><tr><th scope="col">Code</th><th scope="col">Status</th><th scope="col">Retry unchanged</th><th scope="col">Meaning</th></tr></thead>
<tbody>
${problems.map(problemRow).join("\n")}
</tbody>
</table>
</div>
</main>
</body>
</html>
`;
}

function routeSection(route: PublishedRoute): string {
  const rows = describe(route).map(([term, text]) => `<dt>${term}</dt><dd>${text}</dd>`);
  return `<section>\n<h3>${escaped(route.name)}</h3>\n<dl>\n${rows.join("\n")}\n</dl>\n</section>`;
}

function problemRow({ code, status, title, retryable, meaning }: PublishedPolicy["problems"][number]): string {
  const cells = [status, retryable ? "yes" : "no", `${escaped(title)}. ${escaped(meaning)}`];
  return `<tr id="${escaped(code)}"><th scope="row"><code>${escaped(code)}</code></th>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
}

/** Terms, and texts that are escaped already. */
function describe(route: PublishedRoute): [term: string, text: string][] {
  const { key, fingerprint, outcomes } = route;
  const { body, query, headers, ignore } = fingerprint;
  const compared = [
    "method",
    "path",
    ...(query === false ? [] : [query === true ? "query" : `query without ${query.ignore.map(code).join(", ")}`]),
    ...(body === "none" ? [] : [body === "json" ? "body, as JSON" : "body, byte for byte"]),
    ...headers.map((name) => `header ${code(name)}`),
  ].join(", ");
  return [
    [
      "Requests",
      `${(route.methods ?? ["every method"]).map(escaped).join(", ")} ${code((route.host ?? "") + route.path)}`,
    ],
    ["Key", `${key.from.map(code).join(key.firstOf ? " or " : " and ")}, ${key.required ? "required" : "optional"}`],
    [
      "Format of the key",
      key.strict ? "a quoted string (RFC 9651)" : `up to ${key.maxLength} characters, ${code(key.pattern)}`,
    ],
    ["Whose key it is", route.scope.length === 0 ? "anybody's" : route.scope.map(code).join(", ")],
    ["Kept for", escaped(route.retentionText)],
    ["The same request", compared + (ignore.length === 0 ? "" : `; without ${ignore.map(code).join(", ")}`)],
    ["Sent again meanwhile", whileInFlight[route.concurrency]],
    ["May be retried after", outcomes.release.length === 0 ? "no answer: each is final" : outcomes.release.join(", ")],
    [
      "Outcome unknown after",
      `${[...outcomes.unknown, "a broken connection", "no answer in time"].join(", ")}; then ${afterDoubt[route.inDoubt]}`,
    ],
    ["Mark of a replay", code(`${route.replayHeader}: true`)],
    ["Largest body", `${route.maxBodyBytes} bytes`],
    ...(route.mode === "observe"
      ? [["Mode", "observed only: nothing is refused or replayed yet"] as [string, string]]
      : []),
  ];
}

const whileInFlight = {
  wait: "waits for the first one's response",
  reject: `is answered ${code("in-progress")}`,
};

const afterDoubt = {
  hold: `further requests are answered ${code("outcome-unknown")} until it is settled`,
  retry: "the next request with the key runs again",
  probe: "the service is asked whether it happened",
};

function code(text: string): string {
  return `<code>${escaped(text)}</code>`;
}

/** Names and patterns come from the operator's file, but a page must not depend on that. */
function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
