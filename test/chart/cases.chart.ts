import t from "tap";
import { find, gatewayOf, isSelected, type KubeObject, workloadOf } from "./objects.js";
import { objectsFrom } from "./render.js";

t.test("two pods by default, replaced one by one, new ones first; a budget that lets nodes be drained", async (t) => {
  const objects = objectsFrom("redis-values.yaml");
  const { spec } = find(objects, "Deployment");
  t.equal(spec.replicas, 2);
  t.same(spec.strategy, { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } });
  const budget = find(objects, "PodDisruptionBudget").spec;
  t.same([budget.maxUnavailable, budget.minAvailable], [1, undefined]);
  t.same(
    spec.template.spec.topologySpreadConstraints.map((one: { topologyKey: string }) => one.topologyKey),
    ["topology.kubernetes.io/zone", "kubernetes.io/hostname"],
  );
});

t.test("one pod has no budget, or its node could never be drained", async (t) => {
  const kinds = objectsFrom("redis-values.yaml", "--set", "replicaCount=1").map(({ kind }) => kind);
  t.notOk(kinds.includes("PodDisruptionBudget"));
  t.notOk(objectsFrom("embedded-values.yaml").some(({ kind }) => kind === "PodDisruptionBudget"));
});

t.test("the embedded store makes a StatefulSet with a volume that outlives it", async (t) => {
  const objects = objectsFrom("embedded-values.yaml");
  const { spec } = find(objects, "StatefulSet");
  t.equal(spec.replicas, 1);
  const [claim] = spec.volumeClaimTemplates;
  t.equal(claim.metadata.name, "data");
  t.equal(spec.persistentVolumeClaimRetentionPolicy.whenDeleted, "Retain");
  t.equal(
    gatewayOf(objects).volumeMounts.find(({ name }: { name: string }) => name === "data").mountPath,
    "/var/lib/idempotency-gateway",
  );
  t.notOk(objects.some(({ kind }) => kind === "Deployment"));
});

t.test("somebody else scales: no number of replicas is written", async (t) => {
  t.notOk("replicas" in find(objectsFrom("everything-values.yaml"), "Deployment").spec);
  t.notOk("replicas" in find(objectsFrom("hot-reload-values.yaml"), "Deployment").spec);
});

t.test("a changed configuration restarts the pods by default, and with hot reload does not", async (t) => {
  const templateOf = (file: string, ...args: string[]) => workloadOf(objectsFrom(file, ...args)).spec.template;
  const change = ["--set", "config.server.drainTimeout=31s", "--set", "terminationGracePeriodSeconds=60"];
  const before = templateOf("redis-values.yaml", "--set", "terminationGracePeriodSeconds=60");
  t.match(before.metadata.annotations["checksum/config"], /^[0-9a-f]{64}$/);
  t.notSame(templateOf("redis-values.yaml", ...change), before);
  t.same(
    templateOf("hot-reload-values.yaml", ...change),
    templateOf("hot-reload-values.yaml", "--set", "terminationGracePeriodSeconds=60"),
  );
  t.same(
    templateOf("redis-values.yaml", "--set", "terminationGracePeriodSeconds=60"),
    before,
    "nothing random is in it",
  );
});

t.test("the admin port is in no Ingress, no HTTPRoute and not in the traffic Service", async (t) => {
  const objects = objectsFrom("everything-values.yaml");
  const outside = objects.filter(({ kind }) => ["Ingress", "HTTPRoute"].includes(kind));
  t.equal(outside.length, 2);
  for (const object of outside) t.notMatch(JSON.stringify(object.spec), /admin/);
  const [traffic, admin] = objects.filter(({ kind }) => kind === "Service");
  t.same(
    traffic!.spec.ports.map((port: { targetPort: string }) => port.targetPort),
    ["http"],
  );
  t.equal(admin!.spec.type, "ClusterIP");
});

t.test("the network policy keeps the admin port to Prometheus and helm test", async (t) => {
  const objects = objectsFrom("trial-values.yaml", "--set", "tests.enabled=true");
  const [http, admin, ...others] = find(objects, "NetworkPolicy").spec.ingress;
  t.same(http.from, undefined, "everybody may send requests");
  t.equal(admin.from.length, 1);
  t.ok(isSelected(admin.from[0].podSelector.matchLabels, find(objects, "Pod").metadata.labels!));
  t.same(others, []);
  t.same(find(objects, "NetworkPolicy").spec.policyTypes, ["Ingress"], "egress is free unless rules are given");
});

t.test("alerts keep what Prometheus fills in, and may point to runbooks elsewhere", async (t) => {
  const [shipped, ours] = find(objectsFrom("everything-values.yaml"), "PrometheusRule").spec.groups;
  t.equal(ours.name, "ours");
  for (const rule of shipped.rules)
    t.equal(rule.annotations.runbook_url, `https://wiki.example.com/runbooks/${rule.alert}.md`);
  t.ok(shipped.rules.some((rule: KubeObject) => rule.annotations.summary.includes("{{ $labels.route }}")));
  const plain = find(objectsFrom("trial-values.yaml"), "PrometheusRule").spec.groups;
  t.equal(plain[0].rules[0].annotations.runbook_url, `docs/runbooks/${plain[0].rules[0].alert}.md`);
});

t.test("the dashboard arrives as it is", async (t) => {
  const map = objectsFrom("everything-values.yaml").find(({ metadata }) => metadata.name.endsWith("-dashboard"))!;
  t.equal(map.metadata.labels!.grafana_dashboard, "1");
  t.ok(JSON.parse(map.data["idempotency-gateway.json"]).title);
});
