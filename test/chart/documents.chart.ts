import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import t from "tap";
import { parse } from "yaml";
import type { KubeObject } from "./objects.js";
import { chartDir, helm, helmPrograms, kubernetesVersions, objectsOf, template } from "./render.js";
import { schemaFaults, unknownFields } from "./typed.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
// A variable path: the generator is plain JavaScript without types.
const generator = pathToFileURL(`${root}scripts/helm-readme.mjs`).href;
const chart = parse(readFileSync(`${chartDir}Chart.yaml`, "utf8"));

t.test("the README's table is what the comments in values.yaml say, and every value has one", async (t) => {
  const { readValues, readmeWithTable } = await import(generator);
  t.same(readValues().bare, []);
  t.equal(readFileSync(`${chartDir}README.md`, "utf8"), readmeWithTable(), "else run node scripts/helm-readme.mjs");
});

t.test("the chart installs the gateway of this very version by default", async (t) => {
  t.equal(chart.appVersion, JSON.parse(readFileSync(`${root}package.json`, "utf8")).version);
});

t.test("the chart says what has changed, in the form Artifact Hub reads", async (t) => {
  const changes = parse(chart.annotations["artifacthub.io/changes"]);
  t.ok(changes.length > 0);
  for (const { kind, description } of changes) {
    t.match(kind, /^(added|changed|deprecated|removed|fixed|security)$/);
    t.ok(description);
  }
});

t.test("helm packs it under its name, without its tests", async (t) => {
  const folder = t.testdir();
  for (const program of Object.values(helmPrograms())) {
    const { status, stderr } = helm(program, "package", chartDir, "-d", folder);
    t.equal(status, 0, stderr);
    const packed = `${folder}/${chart.name}-${chart.version}.tgz`;
    t.equal(helm(program, "lint", packed).status, 0);
    t.equal(helm(program, "template", "x", packed, "-f", `${chartDir}ci/redis-values.yaml`).status, 0);
    const members = execFileSync("tar", ["-tzf", packed], { encoding: "utf8" });
    t.match(members, "idempotency-gateway/files/alerts.yaml");
    t.notMatch(members, "/ci/");
  }
});

t.test("the objects in the Redis recipes are valid, and the values in them are the chart's", async (t) => {
  const text = readFileSync(`${root}docs/redis-recipes.md`, "utf8");
  const blocks = [...text.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, block]) => block!);
  const objects: KubeObject[] = blocks.filter((block) => block.startsWith("apiVersion")).flatMap(objectsOf);
  t.same(
    objects.map(({ kind }) => kind),
    ["Deployment", "Service"],
  );
  for (const object of objects) t.same(await schemaFaults(object), []);
  t.same(unknownFields(objects), []);
  const values = blocks.filter((block) => block.startsWith("# values.yaml"));
  t.equal(values.length, 2);
  for (const [index, block] of values.entries()) {
    const route = '[{ name: a, match: { path: "/*" }, upstream: { url: "http://a" } }]';
    const file = `${t.testdir({ "values.yaml": block.replace("[] # yours", route) })}/values.yaml`;
    const { status, stderr } = template(helmPrograms()[4], kubernetesVersions[1], "-f", file);
    t.equal(status, 0, `${index}: ${stderr}`);
  }
});
