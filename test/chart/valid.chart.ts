import t from "tap";
import type { KubeObject } from "./objects.js";
import { chartDir, helm, helmPrograms, kubernetesVersions, objectsOf, template, valuesFiles } from "./render.js";
import { schemaFaults, unknownFields } from "./typed.js";

const programs = helmPrograms();
const everything: KubeObject[] = [];

/** A token is drawn anew in each rendering without a cluster. */
const withoutToken = (text: string) => text.replace(/^( {2}token: )\S+$/gm, "$1dG9rZW4=");

for (const file of valuesFiles) {
  t.test(`${file}: Helm 3 and 4 render the same for the oldest and the newest Kubernetes`, async (t) => {
    const renderings = Object.values(programs).flatMap((program) =>
      kubernetesVersions.map((version) => template(program, version, "-f", `${chartDir}ci/${file}`)),
    );
    for (const { status, stderr } of renderings) t.equal(status, 0, stderr);
    const [first, ...others] = renderings.map(({ stdout }) => objectsOf(withoutToken(stdout)));
    t.ok(first && first.length >= 6, "there are objects");
    for (const other of others) t.same(other, first);
    everything.push(...(first ?? []));
  });

  t.test(`${file}: helm lint finds nothing`, async (t) => {
    for (const program of Object.values(programs)) {
      const { status, stdout } = helm(program, "lint", "--strict", chartDir, "-f", `${chartDir}ci/${file}`);
      t.equal(status, 0, stdout);
      t.notMatch(stdout, /\[(WARNING|ERROR)\]/);
    }
  });
}

t.test("the default values pass helm lint", async (t) => {
  for (const program of Object.values(programs)) t.equal(helm(program, "lint", "--strict", chartDir).status, 0);
});

t.test("every object satisfies the schema of its kind", async (t) => {
  for (const object of everything) t.same(await schemaFaults(object), [], `${object.kind} ${object.metadata.name}`);
});

t.test("no object has a field that its kind does not know", async (t) => {
  t.same(unknownFields(everything), []);
});

t.test("these checks see a wrong type and an unknown field, also deep down and in custom resources", async (t) => {
  const monitor = everything.find(({ kind }) => kind === "ServiceMonitor")!;
  const [endpoint] = monitor.spec.endpoints;
  const misspelt = { ...monitor, spec: { ...monitor.spec, endpoints: [{ ...endpoint, intervall: "15s" }] } };
  t.same(await schemaFaults(misspelt), [], "the schema lets it pass");
  t.match(unknownFields([misspelt])[0], /intervall/);
  const deployment = everything.find(({ kind }) => kind === "Deployment")!;
  t.match((await schemaFaults({ ...deployment, spec: { ...deployment.spec, replicas: "two" } }))[0], /replicas/);
});

t.test("every kind the chart can make is among those that were checked", async (t) => {
  t.same([...new Set(everything.map(({ kind }) => kind))].sort(), [
    "ConfigMap",
    "Deployment",
    "HTTPRoute",
    "HorizontalPodAutoscaler",
    "Ingress",
    "NetworkPolicy",
    "Pod",
    "PodDisruptionBudget",
    "PrometheusRule",
    "Secret",
    "Service",
    "ServiceAccount",
    "ServiceMonitor",
    "StatefulSet",
  ]);
});
