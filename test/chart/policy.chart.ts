import t, { type Test } from "tap";
import { claimsOf, find, gatewayOf, isSelected, type KubeObject, namesIn, podsOf, workloadOf } from "./objects.js";
import { objectsFrom, release, valuesFiles, valuesOf } from "./render.js";

for (const file of valuesFiles) {
  const objects = objectsFrom(file);
  const values = valuesOf(file);
  const [gatewayPod, ...otherPods] = podsOf(objects);

  t.test(`${file}: every selector finds the gateway's pods and no other`, async (t) => {
    const workload = workloadOf(objects);
    const selectors = [workload.spec.selector.matchLabels];
    for (const { kind, spec } of objects) {
      if (kind === "Service") selectors.push(spec.selector);
      if (kind === "PodDisruptionBudget") selectors.push(spec.selector.matchLabels);
      if (kind === "NetworkPolicy") selectors.push(spec.podSelector.matchLabels);
    }
    for (const constraint of gatewayPod!.spec.topologySpreadConstraints ?? []) {
      selectors.push(constraint.labelSelector.matchLabels);
      t.same(constraint.matchLabelKeys, ["pod-template-hash"]);
    }
    for (const selector of selectors) {
      t.same(Object.keys(selector).sort(), ["app.kubernetes.io/instance", "app.kubernetes.io/name"]);
      t.ok(isSelected(selector, gatewayPod!.labels));
      for (const { labels, name } of otherPods) t.notOk(isSelected(selector, labels), `${name} gets no traffic`);
    }
  });

  t.test(`${file}: whatever is named exists`, async (t) => {
    const made = (kind: string) =>
      objects.filter((object) => object.kind === kind).map(({ metadata }) => metadata.name);
    const theirs = JSON.stringify(values);
    for (const { spec } of podsOf(objects)) {
      for (const { kind, name } of namesIn(spec)) {
        const isGiven = theirs.includes(JSON.stringify(name)) || name === `${release.name}-env`;
        t.ok(made(kind).includes(name) || isGiven, `${kind} ${name} is made here or given in the values`);
      }
      const volumes = spec.volumes?.map((volume: { name: string }) => volume.name) ?? [];
      const mounted = spec.containers.flatMap((container: KubeObject) =>
        (container.volumeMounts ?? []).map(({ name }: { name: string }) => name),
      );
      t.same(
        [...new Set(mounted)].sort(),
        [...new Set([...volumes, ...claimsOf(objects, spec)])].sort(),
        "every volume is mounted, every mount has a volume",
      );
    }
    const account = gatewayPod!.spec.serviceAccountName;
    t.ok(made("ServiceAccount").includes(account) || account === "default");
    for (const scaler of objects.filter(({ kind }) => kind === "HorizontalPodAutoscaler")) {
      t.same(scaler.spec.scaleTargetRef, {
        apiVersion: "apps/v1",
        kind: "Deployment",
        name: workloadOf(objects).metadata.name,
      });
    }
    for (const { kind, metadata, spec } of objects) {
      if (kind === "Ingress") {
        for (const { http } of spec.rules)
          for (const { backend } of http.paths) serviceHas(t, objects, backend.service.name, backend.service.port.name);
      }
      if (kind === "HTTPRoute") {
        for (const rule of spec.rules)
          for (const backend of rule.backendRefs ?? []) serviceHas(t, objects, backend.name, backend.port);
      }
      if (kind === "ServiceMonitor") {
        const found = objects.filter(
          (object) => object.kind === "Service" && isSelected(spec.selector.matchLabels, object.metadata.labels!),
        );
        t.equal(found.length, 1, `${metadata.name} selects the admin Service alone`);
        t.equal(spec.endpoints[0].port, found[0]!.spec.ports[0].name);
        t.same(spec.namespaceSelector.matchNames, [found[0]!.metadata.namespace]);
      }
    }
  });

  t.test(`${file}: ports and probes agree`, async (t) => {
    const { ports, livenessProbe, readinessProbe, startupProbe } = gatewayOf(objects);
    const named = Object.fromEntries(
      ports.map(({ name, containerPort }: { name: string; containerPort: number }) => [name, containerPort]),
    );
    for (const service of objects.filter(({ kind }) => kind === "Service")) {
      for (const port of service.spec.ports)
        t.ok(port.targetPort in named, `${service.metadata.name} ends at a port of the pod`);
    }
    for (const policy of objects.filter(({ kind }) => kind === "NetworkPolicy")) {
      for (const rule of policy.spec.ingress) for (const { port } of rule.ports) t.ok(port in named);
    }
    for (const [probe, path] of [
      [livenessProbe, "/healthz"],
      [readinessProbe, "/readyz"],
      [startupProbe, "/healthz"],
    ]) {
      if (probe?.httpGet) t.same(probe.httpGet, { path, port: "admin" });
      else if (probe) t.ok(probe.exec, "or it brings its own handler");
    }
    if (values.livenessProbe !== null) t.ok(livenessProbe);
    t.ok(readinessProbe);
    t.equal(Object.keys(named).length, 2);
    t.not(named.http, named.admin);
  });

  t.test(`${file}: the restricted Pod Security Standard holds, and more`, async (t) => {
    for (const { spec } of podsOf(objects)) {
      const { securityContext } = spec;
      t.equal(securityContext.runAsNonRoot, true);
      t.ok(securityContext.runAsUser > 0, "a number, so that the kubelet can check runAsNonRoot");
      t.equal(securityContext.seccompProfile.type, "RuntimeDefault");
      for (const field of ["hostNetwork", "hostPID", "hostIPC"]) t.notOk(spec[field]);
      t.equal(spec.automountServiceAccountToken, false);
      t.equal(spec.enableServiceLinks, false);
      for (const { name, ...volume } of spec.volumes ?? []) {
        t.match(Object.keys(volume)[0], /^(configMap|secret|emptyDir|persistentVolumeClaim)$/, `volume ${name}`);
      }
      for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
        t.equal(container.securityContext.allowPrivilegeEscalation, false);
        t.same(container.securityContext.capabilities, { drop: ["ALL"] });
        for (const { hostPort } of container.ports ?? []) t.equal(hostPort, undefined);
        for (const mount of container.volumeMounts ?? []) t.notOk("subPath" in mount, "a subPath never changes again");
      }
    }
    t.equal(gatewayOf(objects).securityContext.readOnlyRootFilesystem, true);
    t.notOk("command" in gatewayOf(objects), "the image's own entry point is pid 1 and hears SIGTERM");
  });

  t.test(`${file}: names are valid and taken once, labels and namespaces are everywhere`, async (t) => {
    const seen = new Set<string>();
    for (const { kind, metadata, apiVersion } of objects) {
      const id = `${apiVersion} ${kind} ${metadata.namespace} ${metadata.name}`;
      t.notOk(seen.has(id), id);
      seen.add(id);
      t.match(metadata.name, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
      if (values.extraObjects && !metadata.labels) continue;
      t.ok(metadata.namespace);
      for (const label of ["name", "instance", "version", "managed-by"])
        t.ok(metadata.labels![`app.kubernetes.io/${label}`]);
      t.equal(metadata.labels!.team, values.commonLabels?.team);
    }
  });

  t.test(`${file}: the pod has time to stop`, async (t) => {
    const { spec } = gatewayPod!;
    const sleep = gatewayOf(objects).lifecycle?.preStop.sleep.seconds ?? 0;
    t.equal(sleep, values.preStopSleepSeconds ?? 5);
    const expected: Record<string, number> = {
      "everything-values.yaml": 5 + 90 + 10, // drainTimeout 1m30s is longer than any upstream's 75s
      "existing-configmap-hot-values.yaml": 5 + 120 + 10, // upstreamTimeout 2m
      "trial-values.yaml": 0 + 30 + 10,
    };
    t.equal(spec.terminationGracePeriodSeconds, expected[file] ?? 5 + 30 + 10);
  });
}

function serviceHas(t: Test, objects: readonly KubeObject[], name: string, port: string | number): void {
  const { spec } = find(objects, "Service", name);
  t.ok(
    spec.ports.some((one: { name: string; port: number }) => one.name === port || one.port === port),
    `Service ${name} has port ${port}`,
  );
}
