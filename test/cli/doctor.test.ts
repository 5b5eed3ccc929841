import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { doctor } from "../../src/cli/doctor.js";
import { redisBinary, startRedis } from "../redis-server.js";

async function diagnose(t: Test, store: string, upstream: string) {
  const folder = mkdtempSync(join(tmpdir(), "doctor-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "g.yaml");
  writeFileSync(
    file,
    `store: ${store}\nroutes:\n  - name: pay\n    match: { path: /pay }\n    upstream: { url: "${upstream}", connectTimeout: 2s }\n    idempotency: {}\n`,
  );
  const out: string[] = [];
  const io = {
    stdout: { write: (text: string) => out.push(text) },
    stderr: { write: () => {} },
    env: {},
    cwd: folder,
  };
  const code = await doctor(["--config", file, "--json"], io);
  const { findings } = JSON.parse(out.join("")) as { findings: { check: string; state: string; detail: string }[] };
  return { code, stateOf: (check: string) => findings.find((one) => one.check === check)?.state };
}

/** Something that accepts connections, and the address of something that does not. */
async function upstreams(t: Test): Promise<{ up: string; down: string }> {
  const listen = () =>
    new Promise<Server>((resolve) => {
      const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1", () => resolve(server));
    });
  const [open, closed] = [await listen(), await listen()];
  const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const found = { up: urlOf(open), down: urlOf(closed) };
  await new Promise((resolve) => closed.close(resolve));
  t.teardown(() => void open.close());
  return found;
}

t.test("an embedded store and a reachable upstream are fine; an unreachable upstream is not", async (t) => {
  const { up, down } = await upstreams(t);
  const fine = await diagnose(t, "{ type: embedded, path: ./data }", up);
  t.equal(fine.code, 0);
  t.equal(fine.stateOf("data folder"), "ok");
  t.equal(fine.stateOf(`upstream ${up}`), "ok");
  const bad = await diagnose(t, "{ type: embedded, path: ./data }", down);
  t.equal(bad.code, 1);
  t.equal(bad.stateOf(`upstream ${down}`), "unsafe");
});

t.test("a Redis that keeps what it acknowledged is fine, one that evicts or forgets is not", async (t) => {
  const binary = await redisBinary(t);
  if (binary === undefined) return;
  const { up } = await upstreams(t);
  const safe = await startRedis(binary, ["--appendonly", "yes", "--dir", mkdtempSync(join(tmpdir(), "redis-"))]);
  t.teardown(() => safe.stop());
  const fine = await diagnose(t, `{ type: redis, url: "${safe.url}" }`, up);
  t.equal(fine.code, 0);
  for (const check of ["redis version", "redis eviction", "redis persistence", "redis replicas", "clock skew"]) {
    t.equal(fine.stateOf(check), "ok", check);
  }
  t.ok(fine.stateOf("redis round trip"), "the round trip is measured");
  const unsafe = await startRedis(binary, [
    ...["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "no"],
  ]);
  t.teardown(() => unsafe.stop());
  const bad = await diagnose(t, `{ type: redis, url: "${unsafe.url}" }`, up);
  t.equal(bad.code, 1);
  t.equal(bad.stateOf("redis eviction"), "unsafe");
  t.equal(bad.stateOf("redis persistence"), "unsafe");
});

t.test("a Redis that is not there is one finding, not a stack trace", async (t) => {
  const { up, down } = await upstreams(t);
  const gone = await diagnose(t, `{ type: redis, url: "redis://${down.slice("http://".length)}" }`, up);
  t.equal(gone.code, 1);
  t.equal(gone.stateOf("redis connection"), "unsafe");
});
