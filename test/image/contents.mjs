import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What a registry, an orchestrator and a scanner read. */
export function checkMetadata(engine, tag, { VERSION, REVISION, CREATED }) {
  const { Config, HealthCheck, Healthcheck } = engine.inspect(tag);
  assert.equal(Config.User, "65532:65532", "a number, for runAsNonRoot");
  assert.deepEqual(Config.Entrypoint, ["node", "/app/dist/main.js"], "no shell between the kubelet and node");
  assert.equal(Config.Cmd[0], "serve");
  assert.deepEqual(Object.keys(Config.ExposedPorts).sort(), ["8080/tcp", "9090/tcp"]);
  // docker and two versions of podman, each in its own place.
  const check = Config.Healthcheck ?? Healthcheck ?? HealthCheck;
  assert.deepEqual(check.Test, ["CMD", "node", "/app/dist/main.js", "healthcheck"]);
  const label = (name) => Config.Labels[`org.opencontainers.image.${name}`];
  assert.deepEqual([label("version"), label("revision"), label("created")], [VERSION, REVISION, CREATED]);
  for (const name of ["title", "description", "licenses"]) assert.ok(label(name), name);
  assert.ok(Config.Env.includes("NODE_ENV=production"));
}

/** Run inside the image: what is there, and what of it the gateway's user could change. */
const survey = `
  const { accessSync, constants, existsSync, readdirSync, statSync } = require("node:fs");
  const { join } = require("node:path");
  const writable = [], maps = { ts: 0, lua: 0 };
  (function walk(folder, depth) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isSymbolicLink()) continue;
      // The mount is read-only, so the mode and the owner are looked at, not whether writing works.
      const { uid, mode } = statSync(path);
      if (uid === process.getuid() || (mode & 0o002)) writable.push(path);
      if (path.startsWith("/app/dist/") && path.endsWith(".lua")) maps.lua += 1;
      if (path.startsWith("/app/dist/") && /\\.tsx?$/.test(path)) maps.ts += 1;
      if (entry.isDirectory() && depth < 12) walk(path, depth + 1);
    }
  })("/app", 0);
  const records = statSync("/var/lib/idempotency-gateway");
  console.log(JSON.stringify({
    top: readdirSync("/app").sort(), modules: readdirSync("/app/node_modules"), writable, maps,
    uid: process.getuid(), node: process.versions.node, recordsOwner: records.uid, cwd: process.cwd(),
  }));
`;

export function checkContents(engine, tag) {
  const { status, stdout, stderr } = engine.runOnce(tag, { flags: ["--entrypoint", "node"], args: ["-e", survey] });
  assert.equal(status, 0, stderr);
  const found = JSON.parse(stdout);
  assert.deepEqual(found.top, ["config", "dist", "node_modules", "package.json"]);
  for (const name of ["tap", "typescript", "tsx", "fast-check", "@biomejs", "@types"]) {
    assert.ok(!found.modules.includes(name), `${name} is for development`);
  }
  assert.ok(found.modules.includes("fastify"));
  assert.deepEqual(found.writable, [], "the process can change nothing of itself");
  assert.deepEqual(found.maps.ts, 0, "no sources");
  assert.ok(found.maps.lua > 0, "the Lua scripts came along");
  assert.equal(found.uid, 65532);
  assert.equal(found.recordsOwner, 65532);
  assert.equal(found.cwd, "/var/lib/idempotency-gateway");
  assert.match(found.node, /^24\./);
  // By the name that people type in a shell of the container.
  const { status: code, stdout: version } = engine.runOnce(tag, {
    flags: ["--entrypoint", "idempotency-gateway"],
    args: ["--version"],
  });
  assert.equal(code, 0);
  assert.match(version, /^\d+\.\d+\.\d+/);
}

export function checkRefusal(engine, tag) {
  const folder = mkdtempSync(join(tmpdir(), "image-config-"));
  try {
    writeFileSync(join(folder, "gateway.yaml"), "routes: []\nsevrer: {}\n", { mode: 0o644 });
    // mkdtemp makes it for its owner alone, who is not the container's user.
    const flags = ["--volume", `${folder}:/etc/idempotency-gateway:ro`, "--user", "0:0"];
    const { status, stdout, stderr } = engine.runOnce(tag, { flags });
    assert.equal(status, 1, stdout + stderr);
    assert.match(stdout + stderr, /sevrer/);
    assert.doesNotMatch(stdout + stderr, /^\s+at /m, "no stack trace");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
