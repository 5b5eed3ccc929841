import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { parse } from "yaml";
import { formatMistake } from "../../src/config/findings.js";
import { loadConfig } from "../../src/config/load.js";
import { find, gatewayOf, type KubeObject } from "./objects.js";
import { objectsFrom, valuesFiles, valuesOf } from "./render.js";

const mountRoot = "/etc/idempotency-gateway";

/** What the Secrets of the values files hold in a cluster, at the paths where the pod would find it. */
function mountSecrets(folder: string): void {
  const write = (path: string, text: string) => writeFileSync(join(folder, path), text);
  for (const name of ["admin", "store", "tls"]) mkdirSync(join(folder, name));
  write("admin/token", "a-token-long-enough-for-anybody");
  for (const key of ["redis-url", "url"]) write(`store/${key}`, "rediss://user:password@redis.example.com:6379/0\n");
  const key = join(folder, "tls/tls.key");
  const cert = join(folder, "tls/tls.crt");
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"].concat([
      "-subj",
      "/CN=api.example.com",
      "-keyout",
      key,
      "-out",
      cert,
    ]),
    { stdio: "ignore" },
  );
}

const folder = mkdtempSync(join(tmpdir(), "chart-config-"));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
mountSecrets(folder);

/** The file in the ConfigMap, as the gateway would read it with the Secrets mounted. */
function load(objects: readonly KubeObject[], env: Record<string, string>) {
  const [[name, text]] = Object.entries(
    find(
      objects.filter(({ data }) => data?.["gateway.yaml"]),
      "ConfigMap",
    ).data,
  ) as [[string, string]];
  const file = join(folder, name);
  writeFileSync(file, text.replaceAll(mountRoot, folder));
  const loaded = loadConfig(file, env);
  return { text, loaded };
}

for (const file of valuesFiles.filter((name) => !valuesOf(name).existingConfigMap)) {
  t.test(`${file}: the gateway accepts the configuration in the ConfigMap`, async (t) => {
    const objects = objectsFrom(file);
    const { loaded } = load(objects, { ADMIN_TOKEN: "a-token-from-the-environment" });
    if (loaded.kind !== "ok")
      return t.fail(loaded.kind === "bad" ? loaded.mistakes.map(formatMistake).join("\n") : loaded.message);
    t.same(loaded.warnings.map(formatMistake), []);
    const { server, admin, store } = loaded.config;
    const { ports } = gatewayOf(objects);
    t.same(
      ports.map(({ name, containerPort }: KubeObject) => [name, containerPort]),
      [
        ["http", server.port],
        ["admin", admin.port],
      ],
    );
    t.same([server.host, admin.host], ["0.0.0.0", "0.0.0.0"], "probes and Services reach it");
    t.ok(admin.token);
    t.equal(store.type, objects.some(({ kind }) => kind === "StatefulSet") ? "embedded" : "redis");
    if (store.type === "embedded") t.match(store.path, /^\/var\/lib\/idempotency-gateway(\/|$)/);
    else t.match(store.url, "redis.example.com", "read from the mounted Secret");
  });
}

t.test("what the user wrote is left as it was, and what the gateway expands is left to it", async (t) => {
  const { text } = load(objectsFrom("everything-values.yaml"), {});
  const given = valuesOf("everything-values.yaml").config;
  const made = parse(text);
  t.same(made.routes, given.routes);
  t.equal(made.routes[0].upstream.url, "${" + "PAYMENTS_URL:-http://legacy-payments:3000}");
  t.same(made.server, { ...given.server, tls: { cert: `${mountRoot}/tls/tls.crt`, key: `${mountRoot}/tls/tls.key` } });
  t.same(made.admin, { ...given.admin, host: "0.0.0.0", token: `file:${mountRoot}/admin/token` });
  t.same(made.store, { ...given.store, type: "redis", url: `file:${mountRoot}/store/url` });
});

t.test("a value of the user's wins over what the chart would fill in", async (t) => {
  const { text } = load(objectsFrom("trial-values.yaml"), {});
  t.equal(parse(text).admin.token, "${" + "ADMIN_TOKEN}");
  t.notOk(
    objectsFrom("trial-values.yaml").some(({ kind }) => kind === "Secret"),
    "and no Secret is made in vain",
  );
});
