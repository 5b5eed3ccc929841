import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse, parseAllDocuments } from "yaml";
import type { KubeObject } from "./objects.js";

export const chartDir = fileURLToPath(new URL("../../helm/", import.meta.url));
export const valuesFiles = readdirSync(`${chartDir}ci`).sort();

/** The oldest that Chart.yaml admits, and the newest there was when the chart was last looked at. */
export const kubernetesVersions = ["1.30.0", "1.37.0"] as const;

/** Paths of real Helm programs, by major version; `run.mjs` fetches them. */
export function helmPrograms(): Record<"3" | "4", string> {
  const { HELM_3, HELM_4 } = process.env;
  if (HELM_3 === undefined || HELM_4 === undefined) throw new Error("run this suite with node test/chart/run.mjs");
  return { 3: HELM_3, 4: HELM_4 };
}

export interface Rendering {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function helm(program: string, ...args: string[]): Rendering {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: "utf8",
    timeout: 60_000,
    maxBuffer: 32 * 1024 * 1024,
    env: { ...process.env, KUBECONFIG: "/dev/null" },
  });
  if (error) throw error;
  return { status: status ?? 1, stdout, stderr };
}

export const release = { name: "pay", namespace: "shop" } as const;

export function template(program: string, kubeVersion: string, ...args: string[]): Rendering {
  const { name, namespace } = release;
  return helm(program, "template", name, chartDir, "-n", namespace, "--kube-version", kubeVersion, ...args);
}

/** YAML 1.1, as Kubernetes reads it. */
export function objectsOf(stdout: string): KubeObject[] {
  return parseAllDocuments(stdout, { version: "1.1" })
    .map((document) => {
      if (document.errors[0]) throw document.errors[0];
      return document.toJS() as KubeObject | null;
    })
    .filter((object) => object !== null);
}

/** With Helm 4 and the newest Kubernetes: `valid.chart.ts` shows that the others give the same. */
export function objectsFrom(file: string, ...args: string[]): KubeObject[] {
  const { status, stdout, stderr } = template(
    helmPrograms()[4],
    kubernetesVersions[1],
    "-f",
    `${chartDir}ci/${file}`,
    ...args,
  );
  if (status !== 0) throw new Error(`${file}: ${stderr}`);
  return objectsOf(stdout);
}

export function valuesOf(file: string) {
  return parse(readFileSync(`${chartDir}ci/${file}`, "utf8"));
}
