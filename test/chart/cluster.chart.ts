import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import t from "tap";
import { find } from "./objects.js";
import { chartDir, helmPrograms, objectsOf, release } from "./render.js";

const run = promisify(execFile);
const secretName = "pay-idempotency-gateway-admin";

/** As much of a Kubernetes API server as `lookup` asks for; `token` is what the cluster's Secret holds, if it has one. */
async function apiServer(t: { teardown(end: () => unknown): void }, token: string | null): Promise<string> {
  const answers: Record<string, unknown> = {
    "/version": { major: "1", minor: "37", gitVersion: "v1.37.0" },
    "/api": { kind: "APIVersions", versions: ["v1"] },
    "/api/v1": resourceList("v1", ["Secret", "ConfigMap", "Pod", "Service", "ServiceAccount"]),
    "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [group("apps"), group("policy")] },
    "/apis/apps/v1": resourceList("apps/v1", ["Deployment"]),
    "/apis/policy/v1": resourceList("policy/v1", ["PodDisruptionBudget"]),
  };
  if (token !== null) {
    const path = `/api/v1/namespaces/${release.namespace}/secrets/${secretName}`;
    // Without these two Helm takes it for somebody else's and refuses to touch it.
    const metadata = {
      name: secretName,
      namespace: release.namespace,
      labels: { "app.kubernetes.io/managed-by": "Helm" },
      annotations: {
        "meta.helm.sh/release-name": release.name,
        "meta.helm.sh/release-namespace": release.namespace,
      },
    };
    const data = { token: Buffer.from(token).toString("base64") };
    answers[path] = { apiVersion: "v1", kind: "Secret", metadata, data };
  }
  const server = createServer((request, response) => {
    const answer = answers[(request.url ?? "").split("?")[0]!];
    response.writeHead(answer ? 200 : 404, { "content-type": "application/json" });
    const missing = {
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      reason: "NotFound",
      code: 404,
      message: "no",
    };
    response.end(JSON.stringify(answer ?? missing));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function group(name: string) {
  const version = { groupVersion: `${name}/v1`, version: "v1" };
  return { name, versions: [version], preferredVersion: version };
}

function resourceList(groupVersion: string, kinds: readonly string[]) {
  const resources = kinds.map((kind) => {
    const singularName = kind.toLowerCase();
    return { name: `${singularName}s`, singularName, namespaced: true, kind, verbs: ["get", "list"] };
  });
  return { kind: "APIResourceList", groupVersion, resources };
}

for (const [major, program] of Object.entries(helmPrograms())) {
  const tokenIn = async (address: string) => {
    const args = ["template", release.name, chartDir, "-n", release.namespace, "-f", `${chartDir}ci/redis-values.yaml`];
    const online = ["--dry-run=server", "--disable-openapi-validation", "--kube-apiserver", address];
    const env = { ...process.env, KUBECONFIG: "/dev/null" };
    const { stdout } = await run(program, [...args, ...online], { env, timeout: 60_000 });
    return Buffer.from(find(objectsOf(stdout), "Secret").data.token, "base64").toString();
  };

  t.test(`Helm ${major}: an upgrade keeps the admin token that the installation made`, async (t) => {
    t.equal(await tokenIn(await apiServer(t, "made-by-the-first-installation")), "made-by-the-first-installation");
  });

  t.test(`Helm ${major}: a first installation draws a token, another each time`, async (t) => {
    const address = await apiServer(t, null);
    const [one, two] = [await tokenIn(address), await tokenIn(address)];
    t.match(one, /^[A-Za-z0-9]{48}$/);
    t.not(one, two);
  });
}
