import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const readyWithinMs = 60_000;
const graceSeconds = 20;

/**
 * One container with the gateway before an API of ours, its records in a folder of this machine; `former` is a stopped one
 * whose records and API are taken over. Resolves once it is ready.
 */
export async function startPod(engine, tag, former) {
  const name = `image-test-${randomUUID().slice(0, 8)}`;
  const api = former?.api ?? (await startApi());
  const folder = former?.folder ?? makeFolder();
  const [port, adminPort] = [await freePort(), await freePort()];
  writeFileSync(join(folder, "config/gateway.yaml"), configuration({ port, adminPort, upstream: api.url }), {
    mode: 0o644,
  });
  const flags = [
    ...["--volume", `${folder}/config:/etc/idempotency-gateway:ro`],
    ...["--volume", `${folder}/records:/var/lib/idempotency-gateway`],
    ...["--tmpfs", "/tmp"],
  ];
  engine.start(tag, name, { flags });
  const pod = {
    name,
    folder,
    api,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    send: (key, path = "/v1/payments") =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", "idempotency-key": key },
        body: JSON.stringify({ amount: 42 }),
        signal: AbortSignal.timeout(60_000),
      }),
    dispatched: (key) => api.dispatched.get(key) ?? 0,
    async end({ removeRecords = false } = {}) {
      engine.remove(name);
      if (!removeRecords) return;
      api.server.closeAllConnections();
      api.server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await becomeReady(pod);
    return pod;
  } catch (error) {
    error.message += `\n${engine.logs(name)}`;
    await pod.end({ removeRecords: former === undefined });
    throw error;
  }
}

export async function checkReplay(pod) {
  const first = await pod.send("once");
  const text = await first.text();
  assert.equal(first.status, 201, text);
  assert.equal(first.headers.get("idempotent-replayed"), null);
  const second = await pod.send("once");
  assert.equal(second.status, 201);
  assert.equal(second.headers.get("idempotent-replayed"), "true");
  assert.equal(await second.text(), text);
  assert.equal(pod.dispatched("once"), 1);
}

export function checkRestriction(engine, pod) {
  const script = `
    const { readFileSync, writeFileSync } = require("node:fs");
    const status = readFileSync("/proc/1/status", "utf8");
    const field = (name) => status.match(new RegExp("^" + name + ":\\\\s*(.*)$", "m"))[1];
    const refusal = (path) => { try { writeFileSync(path, ""); return "written"; } catch (error) { return error.code; } };
    console.log(JSON.stringify({
      command: readFileSync("/proc/1/cmdline", "utf8").split("\\0")[0],
      uid: field("Uid").split("\\t")[0], effective: field("CapEff"), bounding: field("CapBnd"), noNewPrivs: field("NoNewPrivs"),
      seccomp: field("Seccomp"), app: refusal("/app/x"), root: refusal("/x"), tmp: refusal("/tmp/x"),
    }));`;
  const { status, stdout, stderr } = engine.exec(pod.name, "node", "-e", script);
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), {
    command: "node",
    uid: "65532",
    effective: "0000000000000000",
    bounding: "0000000000000000",
    noNewPrivs: "1",
    seccomp: "2",
    app: "EROFS",
    root: "EROFS",
    tmp: "written",
  });
  // The command of HEALTHCHECK, which finds another port by ADMIN_URL.
  const check = ["node", "/app/dist/main.js", "healthcheck"];
  const well = engine.exec(pod.name, ...check, "--config", "/etc/idempotency-gateway/gateway.yaml");
  assert.equal(well.status, 0, well.stderr);
  assert.equal(engine.exec(pod.name, "env", `ADMIN_URL=${pod.adminUrl}`, ...check).status, 0);
  assert.equal(engine.exec(pod.name, ...check, "--admin", "http://127.0.0.1:1").status, 1);
}

/** The upstream is still working when the pod is told to stop, and answers only once the pod no longer calls itself ready. */
export async function checkDrain(engine, pod) {
  const arrived = once(pod.api.server, "slow");
  const answer = pod.send("slow", "/v1/slow");
  const [finish] = await arrived;
  const stopped = engine.stop(pod.name, graceSeconds);
  await until(async () => (await readiness(pod)) !== 200, 10_000, "the pod still calls itself ready");
  finish();
  const response = await answer;
  assert.equal(response.status, 201, "the client of the running request gets its answer");
  assert.deepEqual(await response.json(), { done: "slow" });
  await stopped;
  assert.equal(engine.exitCode(pod.name), 0, engine.logs(pod.name));
}

function configuration({ port, adminPort, upstream }) {
  return `
server: { host: 127.0.0.1, port: ${port}, drainTimeout: 15s }
admin: { port: ${adminPort} }
store: { type: embedded, path: /var/lib/idempotency-gateway }
routes:
  - name: payments
    match: { methods: [POST], path: /v1/* }
    upstream: { url: "${upstream}" }
    idempotency: { scope: [] }
`;
}

/** Counts by key; `/v1/slow` answers only when the test, told by the event "slow", says so. */
async function startApi() {
  const dispatched = new Map();
  const server = createServer((request, response) => {
    const key = request.headers["idempotency-key"];
    dispatched.set(key, (dispatched.get(key) ?? 0) + 1);
    request.resume();
    request.on("end", () => {
      const finish = () => {
        response.writeHead(201, { "content-type": "application/json" });
        response.end(JSON.stringify({ done: key }));
      };
      if (request.url === "/v1/slow") server.emit("slow", finish);
      else finish();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, dispatched, url: `http://127.0.0.1:${server.address().port}` };
}

/** Written to by the container's user, who is somebody else here. */
function makeFolder() {
  const folder = mkdtempSync(join(tmpdir(), "image-test-"));
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, "config"), { mode: 0o755 });
  mkdirSync(join(folder, "records"));
  chmodSync(join(folder, "records"), 0o777);
  return folder;
}

async function freePort() {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** The status of `/readyz`, or 0 when nobody answers. */
async function readiness(pod) {
  try {
    const response = await fetch(`${pod.adminUrl}/readyz`, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.status;
  } catch {
    return 0;
  }
}

const becomeReady = (pod) =>
  until(async () => (await readiness(pod)) === 200, readyWithinMs, "it does not become ready");

async function until(isSo, withinMs, complaint) {
  const deadline = Date.now() + withinMs;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`${complaint} after ${withinMs} ms`);
    await delay(50);
  }
}
