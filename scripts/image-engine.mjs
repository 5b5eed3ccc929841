/**
 * What builds and runs the image in tests: docker where its daemon answers; else buildah, podman and runc from Debian, as
 * root and without any daemon, over a base image made on the spot (`image-base.mjs`).
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeBaseImage, officialName } from "./image-base.mjs";
import { cacheDir } from "./pinned-file.mjs";

const minutesMs = 60_000;
const debianTools = ["buildah", "podman", "runc", "debootstrap"];

/** The restricted profile of Kubernetes, as far as a single container can have it. */
const restricted = ["--read-only", "--cap-drop=all", "--security-opt", "no-new-privileges", "--network", "host"];

/** `{ engine }`, or `{ reason }` why there is none. */
export function findEngine() {
  if (succeeds("docker", ["info"])) return { engine: docker() };
  if (process.platform !== "linux" || process.arch !== "x64")
    return { reason: "no docker daemon, and this is not Linux on x64" };
  if (process.getuid?.() !== 0) return { reason: "no docker daemon, and only root can run containers without one" };
  const missing = debianTools.filter((tool) => !succeeds(tool, ["--version"]));
  if (missing.length > 0 && !install(missing)) return { reason: `apt-get could not install ${missing.join(", ")}` };
  return { engine: buildahAndPodman() };
}

function docker() {
  return engineOf({
    name: "docker",
    command: ["docker"],
    build: ({ tag, context, args }) => must("docker", ["build", "--tag", tag, ...buildArgs(args), context]),
    runFlags: restricted,
    clean: (tag) => spawnSync("docker", ["image", "rm", "--force", tag], { stdio: "ignore" }),
  });
}

function buildahAndPodman() {
  const driver = canMountOverlays() ? "overlay" : "vfs";
  const storage = join(cacheDir, "image", driver);
  const runRoot = join(cacheDir, "image", "run");
  mkdirSync(runRoot, { recursive: true });
  const stored = ["--root", storage, "--runroot", runRoot, "--storage-driver", driver];
  const buildah = (...args) => must("buildah", [...stored, ...args], { BUILDAH_ISOLATION: "chroot" });
  // crun, podman's usual runtime, does not start where version 1 and 2 of cgroups are mixed.
  const podman = ["podman", ...stored, "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none"];
  return engineOf({
    name: "buildah and podman",
    command: podman,
    build: ({ tag, context, args }) => {
      makeBaseImage({
        buildah,
        hasImage: (name) => succeeds("buildah", [...stored, "inspect", "--type", "image", name]),
      });
      const options = ["--pull=never", "--format", "docker", "--layers=false", "--tag", tag, ...buildArgs(args)];
      buildah("bud", ...options, "--build-arg", `NODE_IMAGE=${officialName}`, context);
    },
    runFlags: [
      ...restricted,
      "--pull=never",
      // Root in a container has no CAP_SYS_RESOURCE and cannot raise its limits to podman's usual ones.
      ...["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"],
      // Health checks are systemd timers to podman; the test runs the command of the check itself.
      "--no-healthcheck",
      ...["--log-driver", "k8s-file"],
    ],
    clean: (tag) => {
      spawnSync("podman", [...podman.slice(1), "rmi", "--force", tag], { stdio: "ignore", timeout: 2 * minutesMs });
      rmSync(runRoot, { recursive: true, force: true });
    },
  });
}

function engineOf({ name, command, build, runFlags, clean }) {
  const [program, ...before] = command;
  const run = (args, options = {}) =>
    spawnSync(program, [...before, ...args], {
      encoding: "utf8",
      timeout: 2 * minutesMs,
      maxBuffer: 1 << 26,
      ...options,
    });
  const text = (args) => {
    const { status, stdout, stderr } = run(args);
    if (status !== 0) throw new Error(`${program} ${args[0]}: ${stderr.trim()}`);
    return stdout.trim();
  };
  const started = new Set();
  return {
    name,
    build,
    /** Removes what is left: containers, also running ones, and the image. */
    clean: (tag) => {
      for (const container of started) run(["rm", "--force", container], { stdio: "ignore" });
      clean(tag);
    },
    /** The image's own configuration, as it was written in the Dockerfile. */
    inspect: (tag) => JSON.parse(text(["image", "inspect", tag]))[0],
    /** Runs to the end: `{ status, stdout, stderr }`. */
    runOnce: (tag, { flags = [], args = [] }) => run(["run", "--rm", ...runFlags, ...flags, tag, ...args]),
    /** Runs in the background. */
    start: (tag, container, { flags = [], args = [] }) => {
      started.add(container);
      text(["run", "--detach", "--name", container, ...runFlags, ...flags, tag, ...args]);
    },
    exec: (container, ...args) => run(["exec", container, ...args]),
    /** SIGTERM, and SIGKILL after so many seconds; resolves when the container has stopped. */
    stop: (container, graceSeconds) =>
      new Promise((resolve, reject) => {
        const child = spawn(program, [...before, "stop", "--time", String(graceSeconds), container], {
          stdio: "ignore",
        });
        child.on("error", reject);
        child.on("exit", resolve);
      }),
    exitCode: (container) => Number(text(["inspect", "--format", "{{.State.ExitCode}}", container])),
    logs: (container) => {
      const { stdout, stderr } = run(["logs", container]);
      return `${stdout}${stderr}`;
    },
    remove: (container) => {
      run(["rm", "--force", container], { stdio: "ignore" });
      started.delete(container);
    },
  };
}

/** vfs copies the whole file system for every layer and container, but works everywhere. */
function canMountOverlays() {
  mkdirSync(join(cacheDir, "image"), { recursive: true });
  const folder = mkdtempSync(join(cacheDir, "image", "probe-"));
  const [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map((name) => join(folder, name));
  for (const path of [lower, upper, work, merged]) mkdirSync(path);
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  const isMounted = succeeds("mount", ["-t", "overlay", "overlay", "-o", options, merged]);
  if (isMounted) spawnSync("umount", [merged]);
  rmSync(folder, { recursive: true, force: true });
  return isMounted;
}

function buildArgs(args) {
  return Object.entries(args).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]);
}

function succeeds(program, args) {
  return spawnSync(program, args, { stdio: "ignore", timeout: 20_000 }).status === 0;
}

function must(program, args, env = {}) {
  const options = { stdio: ["ignore", "pipe", "pipe"], encoding: "utf8", timeout: 10 * minutesMs, maxBuffer: 1 << 26 };
  const { status, stdout, stderr, error } = spawnSync(program, args, { ...options, env: { ...process.env, ...env } });
  if (error) throw error;
  // A failing step of a Dockerfile tells why on either.
  if (status !== 0) throw new Error(`${program} failed:\n${stdout.slice(-4000)}${stderr.slice(-4000)}`);
}

function install(packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const aptGet = (...args) =>
    spawnSync("apt-get", ["-qq", ...args], { stdio: ["ignore", "ignore", "inherit"], env, timeout: 5 * minutesMs })
      .status === 0;
  const get = () => aptGet("install", "--yes", "--no-install-recommends", ...packages);
  // A machine that has just been made knows no packages yet.
  return get() || (aptGet("update") && get());
}
