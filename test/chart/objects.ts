/** What is looked for in rendered objects, and how it is found. */

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: every kind has other fields, and the typed schemas check them all.
  readonly [field: string]: any;
}

export function find(objects: readonly KubeObject[], kind: string, name?: string): KubeObject {
  const found = objects.filter(
    (object) => object.kind === kind && (name === undefined || object.metadata.name === name),
  );
  if (found.length !== 1) throw new Error(`${found.length} objects of kind ${kind} ${name ?? ""}`);
  return found[0]!;
}

/** The Deployment or StatefulSet. */
export function workloadOf(objects: readonly KubeObject[]): KubeObject {
  return objects.find(({ kind }) => kind === "Deployment") ?? find(objects, "StatefulSet");
}

export function gatewayOf(objects: readonly KubeObject[]) {
  return workloadOf(objects).spec.template.spec.containers.find(({ name }: { name: string }) => name === "gateway");
}

/** The gateway's pod, then those of hooks. */
export function podsOf(objects: readonly KubeObject[]) {
  const { metadata, spec } = workloadOf(objects).spec.template;
  const others = objects.filter(({ kind }) => kind === "Pod");
  return [
    { name: "the gateway's pod", labels: metadata.labels as Record<string, string>, spec },
    ...others.map(({ metadata, spec }) => ({ name: metadata.name, labels: metadata.labels!, spec })),
  ];
}

export function isSelected(selector: Record<string, string>, labels: Record<string, string>): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

/** ConfigMaps, Secrets and claims that a pod names. */
export function namesIn(spec: KubeObject): { kind: string; name: string }[] {
  const names: { kind: string; name: string }[] = [];
  for (const { configMap, secret, persistentVolumeClaim } of spec.volumes ?? []) {
    if (configMap) names.push({ kind: "ConfigMap", name: configMap.name });
    if (secret) names.push({ kind: "Secret", name: secret.secretName });
    if (persistentVolumeClaim) names.push({ kind: "PersistentVolumeClaim", name: persistentVolumeClaim.claimName });
  }
  for (const { env = [], envFrom = [] } of spec.containers) {
    for (const { valueFrom } of env)
      if (valueFrom?.secretKeyRef) names.push({ kind: "Secret", name: valueFrom.secretKeyRef.name });
    for (const { configMapRef } of envFrom)
      if (configMapRef) names.push({ kind: "ConfigMap", name: configMapRef.name });
  }
  for (const { name } of spec.imagePullSecrets ?? []) names.push({ kind: "Secret", name });
  return names;
}

export function claimsOf(objects: readonly KubeObject[], spec: KubeObject): string[] {
  const workload = workloadOf(objects);
  if (workload.spec.template.spec !== spec) return [];
  return (workload.spec.volumeClaimTemplates ?? []).map(({ metadata }: KubeObject) => metadata.name);
}
