import { readFileSync } from "node:fs";
import t from "tap";
import { parse } from "yaml";
import { chartDir, helm, helmPrograms, kubernetesVersions, release, template } from "./render.js";

const programs = helmPrograms();
const ours = (file: string, ...args: string[]) => ["-f", `${chartDir}ci/${file}`, ...args];

/** Set on top of a values file that is well; then each must be refused, with these words. */
const refused: readonly [what: string, args: string[], words: RegExp][] = [
  ["no configuration at all", [], /config\.routes is empty/],
  [
    "two configurations",
    ours("redis-values.yaml", "--set", "existingConfigMap=x"),
    /either config or existingConfigMap/,
  ],
  ["a text that is not a map", ["--set", "config=routes"], /config is not a YAML map/],
  ["two pods before an embedded store", ours("embedded-values.yaml", "--set", "replicaCount=2"), /belongs to one pod/],
  ["any number of pods before one", ours("embedded-values.yaml", "--set", "replicaCount=null"), /belongs to one pod/],
  [
    "an embedded store that scales",
    ours("embedded-values.yaml", "--set", "autoscaling.enabled=true"),
    /cannot be scaled/,
  ],
  [
    "records outside the volume",
    ours("embedded-values.yaml", "--set", "config.store.path=/tmp/records"),
    /outside the volume/,
  ],
  [
    "a Redis URL for the embedded store",
    ours("redis-values.yaml", "--set", "config.store.type=embedded,replicaCount=1"),
    /is for Redis/,
  ],
  [
    "a Redis that nothing names",
    ours("redis-values.yaml", "--set", "store.existingSecret=,config.store.type=redis"),
    /nothing says where it is/,
  ],
  ["an admin port without token", ours("redis-values.yaml", "--set", "adminToken.create=false"), /needs a token/],
  [
    "an admin port that probes cannot reach",
    ours("redis-values.yaml", "--set", "config.admin.host=127.0.0.1"),
    /admin\.host must be 0\.0\.0\.0/,
  ],
  [
    "a port that only the gateway can read",
    ours("redis-values.yaml", "--set", "config.server.port=$PORT"),
    /must be a number/,
  ],
  ["one port for both", ours("redis-values.yaml", "--set", "config.server.port=9090"), /are the same/],
  [
    "a budget that blocks drains",
    ours("redis-values.yaml", "--set", "podDisruptionBudget.maxUnavailable=0"),
    /drained/,
  ],
  ["a budget of all pods", ours("redis-values.yaml", "--set", "podDisruptionBudget.minAvailable=2"), /drained/],
  ["an Ingress without host", ours("redis-values.yaml", "--set", "ingress.enabled=true"), /needs ingress\.hosts/],
  ["an HTTPRoute without Gateway", ours("redis-values.yaml", "--set", "httpRoute.enabled=true"), /parentRefs/],
  ["a misspelt value", ours("redis-values.yaml", "--set", "replicaCuont=2"), /replicaCuont/],
  ["a misspelt value further in", ours("redis-values.yaml", "--set", "metrics.serviceMonitor.enbaled=true"), /enbaled/],
  ["a wrong type", ours("redis-values.yaml", "--set-string", "replicaCount=two"), /replicaCount/],
  ["a value of no meaning", ours("redis-values.yaml", "--set", "reload.mode=warm"), /mode/],
];

for (const [what, args, words] of refused) {
  t.test(`refused: ${what}`, async (t) => {
    for (const program of Object.values(programs)) {
      const { status, stderr } = template(program, kubernetesVersions[1], ...args);
      t.not(status, 0);
      t.match(stderr, words);
    }
  });
}

t.test("refused: a Kubernetes older than the chart can do with", async (t) => {
  for (const program of Object.values(programs)) {
    const { status, stderr } = template(program, "1.29.9", ...ours("redis-values.yaml"));
    t.not(status, 0);
    t.match(stderr, /kubeVersion|1\.30/);
  }
});

/** What `helm install` prints at its end, without a cluster. */
function notes(...args: string[]): string {
  const { name, namespace } = release;
  const { status, stdout, stderr } = helm(
    programs[4],
    ...["install", name, chartDir, "-n", namespace, "--dry-run=client", ...args],
  );
  if (status !== 0) throw new Error(stderr);
  return stdout.slice(stdout.indexOf("\nNOTES:\n"));
}

t.test("the notes say where to send requests and where the token is", async (t) => {
  const text = notes(...ours("redis-values.yaml"));
  t.match(text, "http://pay-idempotency-gateway.shop.svc:80");
  t.match(text, "helm test pay --namespace shop");
  t.match(
    text,
    `get secret pay-idempotency-gateway-admin --output go-template='{{index .data "token" | base64decode}}'`,
  );
  t.match(
    notes(...ours("everything-values.yaml")),
    /https:\/\/pay-gw\.shop\.svc:443.*get secret gateway-admin.*"admin-token"/s,
  );
});

const warned: readonly [what: string, args: string[], words: RegExp][] = [
  ["records that go with the pod", ours("trial-values.yaml"), /A SECOND TIME/],
  ["an embedded store", ours("embedded-values.yaml"), /belongs to one pod/],
  ["a single pod", ours("redis-values.yaml", "--set", "replicaCount=1"), /only one pod/],
  [
    "a password in a ConfigMap",
    ours("redis-values.yaml", "--set", "config.store.url=redis://:secret@r:6379,config.store.type=redis"),
    /has a password in it/,
  ],
  ["routes that go unprotected", ours("hot-reload-values.yaml"), /bypass for create-payment/],
  [
    "a drain that is too short",
    ours("redis-values.yaml", "--set", "config.server.drainTimeout=5s"),
    /drainTimeout \(5s\)/,
  ],
  [
    "a grace period that is too short",
    ours("redis-values.yaml", "--set", "terminationGracePeriodSeconds=30"),
    /terminationGracePeriodSeconds \(30s\).*\(35s\)/s,
  ],
  [
    "a ConfigMap that the chart cannot watch",
    ours("existing-configmap-hot-values.yaml", "--set", "reload.mode=restart"),
    /cannot see when ConfigMap payments-gateway-config/,
  ],
  ["nothing that scrapes", ours("redis-values.yaml"), /serviceMonitor is off/],
];

for (const [what, args, words] of warned) {
  t.test(`the notes warn of ${what}`, async (t) => {
    t.match(notes(...args), words);
  });
}

t.test("an installation as it should be is warned of nothing", async (t) => {
  t.notMatch(notes(...ours("everything-values.yaml")), /WARNING/);
  t.notMatch(notes(...ours("redis-values.yaml", "--set", "metrics.serviceMonitor.enabled=true")), /WARNING/);
});

t.test("a duration is understood in every form the gateway understands", async (t) => {
  const forms = { "0": 0, "250ms": 1, "1500ms": 2, "1.5s": 2, "2m": 120, "1h30m": 5400, "1m30s": 90, "1d": 86_400 };
  for (const [form, seconds] of Object.entries(forms)) {
    const { stdout, stderr } = template(
      programs[4],
      kubernetesVersions[1],
      ...ours(
        "redis-values.yaml",
        "--set",
        "config.routes[0].upstream.timeout=1ms,config.routes[1].upstream.timeout=1ms",
      ),
      ...["--set-string", `config.server.drainTimeout=${form}`],
    );
    // The other limb of the maximum is the upstream's second.
    t.match(
      stdout,
      new RegExp(`terminationGracePeriodSeconds: ${Math.max(seconds, 1) + 15}$`, "m"),
      `${form} ${stderr}`,
    );
  }
});

t.test("the schema knows every value and no other", async (t) => {
  const schema = JSON.parse(readFileSync(`${chartDir}values.schema.json`, "utf8"));
  const values = parse(readFileSync(`${chartDir}values.yaml`, "utf8"));
  compare(schema, values, "");

  function compare(
    schema: { properties?: object; additionalProperties?: unknown; type?: unknown },
    value: object,
    path: string,
  ) {
    if (schema.additionalProperties !== false) return;
    t.same(Object.keys(schema.properties!).sort(), Object.keys(value).sort(), path || "the top");
    for (const [name, inner] of Object.entries(schema.properties!)) {
      const below = (value as Record<string, object>)[name];
      if (below !== null && typeof below === "object" && !Array.isArray(below))
        compare(inner, below, `${path}${name}.`);
    }
  }
});
