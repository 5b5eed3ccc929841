#!/usr/bin/env node
/**
 * Writes what follows from declarations in the code: config/schema.json, the reference in docs/configuration.md,
 * docs/problems.md, docs/metrics.md and the index of decisions.
 * With --check it writes nothing, and fails when one of them is out of date. Needs `npm run build` first.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { jsonSchema } from "../dist/config/json-schema.js";
import { reference, withReference } from "../dist/config/reference.js";
import { metricsPage } from "../dist/observe/metrics-page.js";
import { problems } from "../dist/problem.js";
import { problemMeanings } from "../dist/proxy/problem-meanings.js";

const mayWrite = !process.argv.includes("--check");
const file = (path) => new URL(`../${path}`, import.meta.url);
const before = (path) => (existsSync(file(path)) ? readFileSync(file(path), "utf8") : "");

const derived = {
  "config/schema.json": `${JSON.stringify(jsonSchema(), null, 2)}\n`,
  "docs/configuration.md": withReference(before("docs/configuration.md"), reference()),
  "docs/problems.md": problemPage(),
  "docs/metrics.md": metricsPage(),
  "docs/decisions/README.md": decisionIndex(),
};

for (const [path, text] of Object.entries(derived)) {
  if (before(path) === text) continue;
  if (mayWrite) writeFileSync(file(path), text);
  else process.exitCode = 1;
  console.log(`${path}: ${mayWrite ? "written" : "out of date; run `npm run docs`"}`);
}

function problemPage() {
  const sections = Object.entries(problems).map(
    ([code, { status, title, retryable }]) =>
      `## ${code}\n\n${status} · ${title} · ${retryable ? "retryable" : "not retryable"}\n\n${problemMeanings[code]}\n`,
  );
  return `# Problems

Every answer of the gateway's own is a problem document (RFC 9457, \`application/problem+json\`). \`code\` is what programs should look at;
\`retryable\` says whether the same request, sent again unchanged, may succeed. This page is derived from \`src/problem.ts\` by \`npm run docs\`.

${sections.join("\n")}`;
}

function decisionIndex() {
  const rows = readdirSync(file("docs/decisions"))
    .filter((name) => /^\d{4}-.*\.md$/.test(name))
    .sort()
    .map((name) => {
      const text = before(`docs/decisions/${name}`);
      const [, number, title] = /^# (\d{4}) (.*)$/m.exec(text) ?? [];
      return `| [${number}](${name}) | ${title} | ${/^Status: (.*)$/m.exec(text)?.[1] ?? ""} |`;
    });
  return `# Decisions

Half a screen each: the context, what was decided, what follows. \`npm run docs\` writes this index.

| | decision | status |
|---|---|---|
${rows.join("\n")}
`;
}
