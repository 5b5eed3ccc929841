#!/usr/bin/env node
/**
 * Writes the table of values in helm/README.md from the `# --` comments of helm/values.yaml; with `--check` it only
 * compares. A comment above a map documents the map as one value, a comment above each of its members those.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { isMap, parseDocument } from "yaml";

const readmeUrl = new URL("../helm/README.md", import.meta.url);
const valuesUrl = new URL("../helm/values.yaml", import.meta.url);
const begin = "<!-- values: begin, written by scripts/helm-readme.mjs -->";
const end = "<!-- values: end -->";

/** `{ path, default, text }` for each documented value; a value without a comment is named in `bare`. */
export function readValues(source = readFileSync(valuesUrl, "utf8")) {
  const documented = [];
  const bare = [];
  const visit = (map, prefix) => {
    map.items.forEach((pair, index) => {
      const path = `${prefix}${pair.key.value}`;
      // yaml hangs the comment above a map's first member on the map itself.
      const comment = pair.key.commentBefore ?? (index === 0 ? map.commentBefore : undefined);
      const text = describe(comment);
      if (text !== null) documented.push({ path, default: pair.value.toJSON(), text });
      else if (isMap(pair.value) && pair.value.items.length > 0) visit(pair.value, `${path}.`);
      else bare.push(path);
    });
  };
  const document = parseDocument(source);
  if (document.errors.length > 0) throw document.errors[0];
  visit(document.contents, "");
  return { documented, bare };
}

/** What follows `# --` in the last such line; whatever was said before it belongs to a section. */
function describe(comment) {
  const lines = (comment ?? "").split("\n").map((line) => line.trim());
  const at = lines.findLastIndex((line) => line.startsWith("-- "));
  return at === -1 ? null : lines.slice(at).join(" ").slice(3);
}

export function valuesTable() {
  const rows = readValues().documented.map(({ path, default: value, text }) => {
    const cell = (words) => words.replaceAll("|", "\\|");
    return `| \`${path}\` | \`${cell(JSON.stringify(value ?? null))}\` | ${cell(text)} |`;
  });
  return ["| value | default | what it is |", "| --- | --- | --- |", ...rows].join("\n");
}

export function readmeWithTable(readme = readFileSync(readmeUrl, "utf8")) {
  const [from, to] = [readme.indexOf(begin), readme.indexOf(end)];
  if (from === -1 || to < from) throw new Error("helm/README.md has lost the markers of its table");
  return `${readme.slice(0, from + begin.length)}\n\n${valuesTable()}\n\n${readme.slice(to)}`;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { bare } = readValues();
  if (bare.length > 0) {
    process.stderr.write(`helm/values.yaml: no \`# --\` comment above ${bare.join(", ")}\n`);
    process.exit(1);
  }
  const wanted = readmeWithTable();
  if (!process.argv.includes("--check")) writeFileSync(readmeUrl, wanted);
  else if (wanted !== readFileSync(readmeUrl, "utf8")) {
    process.stderr.write("helm/README.md is stale: run node scripts/helm-readme.mjs\n");
    process.exit(1);
  }
}
