import { createHash } from "node:crypto";
import t from "tap";
import { problems } from "../../src/problem.js";
import { negotiatePolicy, policyDocument, prefersHtml } from "../../src/proxy/policy-page.js";
import { durationText, isoDuration } from "../../src/rules/policy-view.js";
import { sampleConfig, samplePolicy, sampleRoute } from "../sample-config.js";

const probe = {
  method: "GET",
  url: "http://probe.internal/by-key/{key}?api_key=hunter2",
  done: new Set([200]),
  notDone: new Set([404]),
};

const config = sampleConfig({
  routes: [
    sampleRoute("pay", {
      key: {
        ...samplePolicy.key,
        sources: [
          { from: "header", name: "Idempotency-Key" },
          { from: "body", pointer: ["order", "a/b~c"] },
        ],
      },
      inDoubt: "probe",
      probe,
    }),
    sampleRoute("<img src=x onerror=alert(1)>&\"'", { mode: "observe" }),
    sampleRoute("open", null),
  ],
  problems: { typeBase: "https://errors.example/", types: { "key-reused": "urn:example:reused" } },
});

t.test("the policy of every protected route is published, and nothing of an unprotected one", async (t) => {
  const { routes } = JSON.parse(policyDocument(config).json.toString());
  t.equal(routes.length, 2);
  t.strictSame(routes[0], {
    name: "pay",
    methods: ["POST"],
    host: "api.example.com",
    path: "/v1/pay",
    key: {
      from: ["header:Idempotency-Key", "body:/order/a~1b~0c"],
      required: true,
      maxLength: 255,
      pattern: "^[!-+\\--~]+$",
      strict: false,
      forward: true,
    },
    scope: ["client"],
    namespace: "pay",
    fingerprint: { body: "bytes", ignore: [], headers: [], query: true },
    concurrency: "wait",
    waitTimeout: "PT30S",
    inDoubtRetention: "P30D",
    retention: "PT24H",
    outcomes: { when: [], release: [401, 503], unknown: [502, 504] },
    inDoubt: "probe",
    storeUnavailable: "reject",
    maxStoredBytes: 1024,
    streamTypes: ["text/event-stream"],
    replayHeader: "Idempotent-Replayed",
    mode: "enforce",
    retentionText: "24 hours",
    maxBodyBytes: 1_048_576,
  });
});

t.test("no address of an upstream or a probe is published", async (t) => {
  const { json, html } = policyDocument(config);
  for (const text of [json.toString(), html.toString()]) {
    t.notMatch(text, "internal:");
    t.notMatch(text, "upstream.internal");
    t.notMatch(text, "probe.internal");
    t.notMatch(text, "hunter2");
  }
});

t.test("every problem code is explained, with the type that documents carry, and has its anchor", async (t) => {
  const { json, html } = policyDocument(config);
  const published = JSON.parse(json.toString()).problems as Record<string, unknown>[];
  t.strictSame(published.map(({ code }) => code).sort(), Object.keys(problems).sort());
  for (const { code, status, retryable, meaning, type } of published) {
    const { status: expected, retryable: isRetryable } = problems[code as keyof typeof problems];
    t.strictSame([status, retryable], [expected, isRetryable], String(code));
    t.ok(String(meaning).length > 20, String(code));
    t.equal(type, code === "key-reused" ? "urn:example:reused" : `https://errors.example/${code}`);
    t.equal(html.toString().split(`id="${code}"`).length, 2, `one anchor for ${code}`);
  }
});

t.test("the page escapes what it is given, runs nothing, loads nothing, and allows its own style only", async (t) => {
  const document = policyDocument(config);
  const html = document.html.toString();
  t.notMatch(html, "<img");
  t.match(html, "&#60;img src=x onerror=alert(1)&#62;&#38;&#34;&#39;");
  t.notMatch(html, /<script|<link|<iframe|\bsrc=(?!x)|\bhref=|\bon\w+="|style="/i);
  t.match(html, '<html lang="en">');
  t.equal(html.match(/<h1>/g)?.length, 1);
  t.match(html, "observed only");

  const { headers } = negotiatePolicy(document, "text/html");
  const security = headers[headers.indexOf("Content-Security-Policy") + 1]!;
  const style = /<style>(.*)<\/style>/s.exec(html)![1]!;
  t.match(security, "default-src 'none'");
  t.match(security, `'sha256-${createHash("sha256").update(style).digest("base64")}'`);
  t.notMatch(security, "unsafe");
});

t.test("a browser gets the page, a program the JSON", async (t) => {
  const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
  for (const accept of [browser, "text/html", "TEXT/HTML;q=0.5, application/json;q=0.4", "text/*"]) {
    t.equal(prefersHtml(accept), true, accept);
  }
  for (const accept of [
    undefined,
    "",
    "*/*",
    "application/json",
    "text/html;q=0, */*",
    "application/json, text/html",
  ]) {
    t.equal(prefersHtml(accept), false, String(accept));
  }
  const document = policyDocument(config);
  const json = negotiatePolicy(document, "*/*");
  t.equal(json.body, document.json);
  t.match(
    json.headers.join("|"),
    `Content-Type|application/json|Content-Language|en|Content-Length|${document.json.length}|`,
  );
  t.match(json.headers.join("|"), "Vary|Accept");
  t.equal(negotiatePolicy(document, browser).body, document.html);
});

t.test("a configuration without protected routes has a page too", async (t) => {
  const { json, html } = policyDocument(sampleConfig({ routes: [] }));
  t.strictSame(JSON.parse(json.toString()).routes, []);
  t.match(html.toString(), "None.");
});

t.test("durations are written in the largest unit that leaves nothing over", async (t) => {
  const cases: [ms: number, iso: string, text: string][] = [
    [86_400_000, "PT24H", "24 hours"],
    [7 * 86_400_000, "P7D", "7 days"],
    [5_400_000, "PT90M", "90 minutes"],
    [3_600_000, "PT1H", "1 hour"],
    [30_000, "PT30S", "30 seconds"],
    [250, "PT0.25S", "0.25 seconds"],
    [0, "PT0S", "0 seconds"],
  ];
  for (const [ms, iso, text] of cases) {
    t.equal(isoDuration(ms), iso);
    t.equal(durationText(ms), text);
  }
});
