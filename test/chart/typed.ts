import { fileURLToPath } from "node:url";
import ts from "typescript";
import type { KubeObject } from "./objects.js";

const core = "kubernetes-models";
const gateway = "@kubernetes-models/gateway-api";
const prometheus = "@kubernetes-models/prometheus-operator";

/**
 * What the chart may make, and the module that describes it. The packages hold every version there ever was, removed
 * ones too, so a version is allowed here or not at all.
 */
const modules: Readonly<Record<string, string>> = {
  "v1 ConfigMap": `${core}/v1/ConfigMap`,
  "v1 Pod": `${core}/v1/Pod`,
  "v1 Secret": `${core}/v1/Secret`,
  "v1 Service": `${core}/v1/Service`,
  "v1 ServiceAccount": `${core}/v1/ServiceAccount`,
  "apps/v1 Deployment": `${core}/apps/v1/Deployment`,
  "apps/v1 StatefulSet": `${core}/apps/v1/StatefulSet`,
  "autoscaling/v2 HorizontalPodAutoscaler": `${core}/autoscaling/v2/HorizontalPodAutoscaler`,
  "policy/v1 PodDisruptionBudget": `${core}/policy/v1/PodDisruptionBudget`,
  "networking.k8s.io/v1 Ingress": `${core}/networking.k8s.io/v1/Ingress`,
  "networking.k8s.io/v1 NetworkPolicy": `${core}/networking.k8s.io/v1/NetworkPolicy`,
  "gateway.networking.k8s.io/v1 HTTPRoute": `${gateway}/gateway.networking.k8s.io/v1/HTTPRoute`,
  "monitoring.coreos.com/v1 PrometheusRule": `${prometheus}/monitoring.coreos.com/v1/PrometheusRule`,
  "monitoring.coreos.com/v1 ServiceMonitor": `${prometheus}/monitoring.coreos.com/v1/ServiceMonitor`,
};

function moduleOf({ apiVersion, kind }: KubeObject): string {
  const name = modules[`${apiVersion} ${kind}`];
  if (name === undefined) throw new Error(`the chart makes a ${apiVersion} ${kind}, which typed.ts does not know`);
  return name;
}

/** What the JSON schemas of Kubernetes and the CRDs refuse: wrong types, missing fields, unknown enum values. */
export async function schemaFaults(object: KubeObject): Promise<string[]> {
  const models = (await import(moduleOf(object))) as Record<string, new (data: unknown) => { validate(): void }>;
  const Model = models[object.kind]!;
  try {
    new Model(object).validate();
    return [];
  } catch (error) {
    return [(error as Error).message];
  }
}

/**
 * What those schemas let pass: fields that no kind has. Each object is written down as a literal of its type, and the
 * TypeScript compiler's check for excess properties finds them. One fault of an object may hide its next.
 */
export function unknownFields(objects: readonly KubeObject[]): string[] {
  const file = fileURLToPath(new URL("./rendered-objects.ts", import.meta.url));
  const source = objects
    .map((object, index) => {
      const type = `import("${moduleOf(object)}").I${object.kind}`;
      return `export const object${index}: ${type} = ${JSON.stringify(object)};`;
    })
    .join("\n");
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (name) => name === file || fileExists(name);
  host.readFile = (name) => (name === file ? source : readFile(name));
  host.getSourceFile = (name, ...rest) =>
    name === file ? ts.createSourceFile(name, source, ts.ScriptTarget.ES2022) : getSourceFile(name, ...rest);
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
    const line = diagnostic.file?.getLineAndCharacterOfPosition(diagnostic.start ?? 0).line;
    const object = line === undefined ? undefined : objects[line];
    const what = object === undefined ? "" : `${object.kind} ${object.metadata.name}: `;
    return what + ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n");
  });
}
