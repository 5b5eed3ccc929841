import { rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import t from "tap";
import { headerOf, post, send } from "./client.js";
import { freePort } from "./free-port.js";
import { exitOf, GatewayProcess } from "./gateway-process.js";
import { Gateway, type Settings, tempFolder } from "./harness.js";
import { RawClient } from "./raw-client.js";
import { answer, Gate, Upstream } from "./upstream.js";

// Starting, draining, reloading: what an operator does to the process.

const upstream = await Upstream.start(t);

function settings(routes: readonly string[], more: Settings = {}): Settings {
  const routeOf = (name: string) => ({
    name,
    match: { path: `/${name}` },
    upstream: { url: upstream.url },
    idempotency: { lease: "1s" },
  });
  return { ...more, routes: routes.map(routeOf) };
}

function isRefused(port: number): Promise<boolean> {
  return RawClient.connect(port).then(
    (client) => {
      client.hangUp();
      return false;
    },
    () => true,
  );
}

t.test("SIGTERM: running calls finish and are stored, waiters are answered, then exit 0", async (t) => {
  const gateway = await Gateway.start(t, settings(["drain"]));
  upstream.on("/drain", answer(201, "at once"));
  const [silent, idle] = [await RawClient.connect(gateway.port), await RawClient.connect(gateway.port)];
  idle.write("POST /drain HTTP/1.1\r\nHost: x\r\nIdempotency-Key: idle\r\nContent-Length: 0\r\n\r\n");
  t.equal((await idle.response()).status, 201);
  const gate = new Gate();
  upstream.on("/drain", gate.before(answer(201, "finished")));
  const first = post(`${gateway.url}/drain`, { key: "k" });
  const gone = send(`${gateway.url}/drain`, { key: "hangs-up" });
  await upstream.arrived("/drain", 3);
  const waiting = post(`${gateway.url}/drain`, { key: "k" });
  await gateway.waiters(1);
  gone.hangUp();
  gateway.process.signal("SIGTERM");
  await gateway.until("readyz 503", async () => (await gateway.readiness()) === 503);
  await gateway.until("no new connection is taken", () => isRefused(gateway.port));
  // Also the one on which nothing was ever sent: it is owed no answer.
  await Promise.all([idle.ended(), silent.ended()]);
  t.ok(gateway.process.isRunning, "it waits for its calls");
  gate.open();
  t.match(await first, { status: 201, text: "finished", isReplayed: false });
  t.match(await waiting, { status: 201, text: "finished", isReplayed: true });
  t.same(await exitOf(gateway.process), { code: 0, signal: null });
  await gateway.restart();
  for (const key of ["k", "hangs-up"]) {
    t.match(await post(`${gateway.url}/drain`, { key }), { status: 201, text: "finished", isReplayed: true });
  }
  t.equal(upstream.count("/drain"), 3);
});

t.test("what outlasts drainTimeout is left in doubt, and those who wait are told so", async (t) => {
  const gateway = await Gateway.start(t, settings(["endless"], { server: { drainTimeout: "400ms" } }));
  upstream.on("/endless", () => {});
  const both = [1, 2].map(() => post(`${gateway.url}/endless`, { key: "k" }));
  await upstream.arrived("/endless");
  await gateway.waiters(1);
  t.same(await gateway.stop(), { code: 0, signal: null });
  for (const reply of await Promise.all(both)) t.match(reply, { status: 409, code: "outcome-unknown" });
  t.match(gateway.process.stdout, /in doubt/);
  await gateway.restart();
  t.match(await gateway.records("k"), [{ state: "in_doubt" }]);
  t.match(await post(`${gateway.url}/endless`, { key: "k" }), { status: 409, code: "outcome-unknown" });
  t.equal(upstream.count("/endless"), 1);
});

t.test("a second SIGTERM does not wait for drainTimeout", async (t) => {
  const gateway = await Gateway.start(t, settings(["hurry"]));
  upstream.on("/hurry", () => {});
  const running = post(`${gateway.url}/hurry`, { key: "k" });
  running.catch(() => {});
  await upstream.arrived("/hurry");
  gateway.process.signal("SIGTERM");
  await gateway.until("readyz 503", async () => (await gateway.readiness()) === 503);
  const beganMs = performance.now();
  gateway.process.signal("SIGTERM");
  await exitOf(gateway.process);
  t.ok(performance.now() - beganMs < 15_000, "drainTimeout is 30 s");
  await gateway.restart();
  await gateway.reachesState("k", "in_doubt");
  t.equal(upstream.count("/hurry"), 1);
});

t.test("SIGHUP and a changed file reload the routes; a bad file is refused and the old routes stay", async (t) => {
  const gateway = await Gateway.start(t, settings(["one"]));
  const reloads = (result: string) => gateway.metric("idempotency_gateway_config_reloads_total", { result });
  t.match(await post(`${gateway.url}/two`, { key: "k" }), { status: 404, code: "no-route" });
  const gate = new Gate();
  upstream.on("/one", gate.before(answer(201, "began under the old routes")));
  const running = post(`${gateway.url}/one`, { key: "k" });
  await upstream.arrived("/one");

  await gateway.configure(settings(["one", "two"]));
  gateway.process.signal("SIGHUP");
  await gateway.until(
    "the new route is there",
    async () => (await post(`${gateway.url}/two`, { key: "k" })).status === 201,
  );
  const { json } = await gateway.admin("GET", "/v1/routes");
  t.match(JSON.stringify(json), /"two"/);

  const bad = settings(["one", "two", "three"]);
  await gateway.configure({ ...bad, routes: [...(bad.routes ?? []), { name: "four", mach: {} }] });
  gateway.process.signal("SIGHUP");
  await gateway.until("the refusal is counted", async () => (await reloads("failure")) > 0);
  await gateway.until("and told", () => /mach/.test(gateway.process.stdout + gateway.process.stderr));
  t.match(await post(`${gateway.url}/two`, { key: "k" }), { status: 201, isReplayed: true });
  t.match(await post(`${gateway.url}/three`, { key: "k" }), { status: 404 });

  await gateway.configure(settings(["one", "two", "five"]));
  await gateway.until(
    "the changed file is seen without a signal",
    async () => (await post(`${gateway.url}/five`, { key: "k" })).status === 201,
  );

  gate.open();
  t.match(await running, { status: 201, text: "began under the old routes" });
  t.match(await post(`${gateway.url}/one`, { key: "k" }), { isReplayed: true });

  const client = await RawClient.connect(gateway.port);
  for (let turn = 0; turn < 60; turn++) {
    if (turn % 20 === 5) {
      await gateway.configure(settings(["one", `extra-${turn}`]));
      gateway.process.signal("SIGHUP");
    }
    client.write(`POST /one HTTP/1.1\r\nHost: x\r\nIdempotency-Key: ${turn}\r\nContent-Length: 0\r\n\r\n`);
    t.equal((await client.response()).status, 201, "no request is dropped");
  }
  client.hangUp();
});

t.test("what keeps it from starting is told in one plain line, with the right exit code", async (t) => {
  const folder = await tempFolder(t);
  const taken = createServer().listen(0, "127.0.0.1");
  t.teardown(() => taken.close());
  await new Promise((resolve) => taken.once("listening", resolve));
  const takenPort = (taken.address() as { port: number }).port;
  const free = await Promise.all(Array.from({ length: 5 }, freePort));
  await writeFile(join(folder, "empty.yaml"), "");
  await writeFile(
    join(folder, "bad.yaml"),
    "routes:\n  - name: a\n    mach: {}\n    upstream: { url: http://127.0.0.1:1 }\n",
  );
  const file = async (name: string, text: string) => {
    await writeFile(join(folder, name), text);
    return name;
  };
  const routes = `routes: [{ name: a, match: { path: /a }, upstream: { url: "${upstream.url}" } }]`;
  const noRedis = await file(
    "no-redis.yaml",
    `server: { port: ${free[0]} }\nadmin: { port: ${free[1]} }\nstore: { type: redis, url: "redis://127.0.0.1:${free[2]}" }\n${routes}\n`,
  );
  const noFolder = await file(
    "no-folder.yaml",
    `server: { port: ${free[0]} }\nadmin: { port: ${free[1]} }\nstore: { type: embedded, path: ./empty.yaml/data }\n${routes}\n`,
  );
  const withPorts = (port: number | undefined, adminPort: number | undefined) => [
    ...["serve", "--upstream", upstream.url],
    ...["--port", `${port}`, "--admin-port", `${adminPort}`],
  ];
  const cases: [what: string, args: string[], code: 1 | 2, stderr: RegExp][] = [
    ["the port is taken", withPorts(takenPort, free[3]), 1, new RegExp(`${takenPort}`)],
    ["the admin port is taken", withPorts(free[4], takenPort), 1, new RegExp(`${takenPort}`)],
    ["there is no such file", ["serve", "--config", "nowhere.yaml"], 1, /nowhere\.yaml/],
    ["a folder instead of a file", ["serve", "--config", "."], 1, /./],
    ["Redis is not there", ["serve", "--config", noRedis], 1, new RegExp(`${free[2]}`)],
    ["the data folder cannot be made", ["serve", "--config", noFolder], 1, /empty\.yaml/],
    ["an unknown option", ["serve", "--colour"], 2, /--colour/],
    ["an unknown command", ["sevre"], 2, /sevre/],
    ["no upstream and no file", ["serve"], 2, /./],
    ["an upstream that is no URL", ["serve", "--upstream", "nonsense"], 2, /nonsense/],
  ];
  const failing = async ([what, args, code, stderr]: (typeof cases)[number]) => {
    const child = new GatewayProcess(args, { cwd: folder });
    const exit = await exitOf(child);
    t.equal(exit.code, code, `${what}: exit code`);
    t.match(child.stderr, stderr, what);
    t.notMatch(child.stderr, /\n\s+at |"level"|\bstack\b/, `${what}: no stack trace, no log object`);
    if (code === 1) t.equal(child.stderr.trim().split("\n").length, 1, `${what}: one line: ${child.stderr}`);
    t.notMatch(child.stdout, /\n\s+at /);
  };
  // A few at a time: they cost nothing but their start.
  for (let at = 0; at < cases.length; at += 3) await Promise.all(cases.slice(at, at + 3).map(failing));
  const mistaken = new GatewayProcess(["serve", "--config", "bad.yaml"], { cwd: folder });
  t.equal((await exitOf(mistaken)).code, 1);
  t.match(mistaken.stderr, /bad\.yaml:3:5 .*match/, "place, and the nearest valid name");
});

t.test("serve --upstream needs no file, no Redis, and no client without a key notices it", async (t) => {
  const folder = await tempFolder(t);
  const gateway = await Gateway.prepare(t, {}, folder);
  await rm(gateway.configFile);
  const ports = ["--port", `${gateway.port}`, "--admin-port", `${gateway.adminPort}`];
  await gateway.launch("serve", "--upstream", upstream.url, ...ports);
  await gateway.ready();
  upstream.on("/any/path", ({ response, nth, entry }) => response.writeHead(201).end(`${entry.method} ${nth}`));
  const url = `${gateway.url}/any/path`;
  t.equal((await post(url)).text, "POST 1");
  t.equal((await post(url)).text, "POST 2", "no key, no protection");
  t.equal((await post(url, { key: "k" })).text, "POST 3");
  t.match(await post(url, { key: "k" }), { text: "POST 3", isReplayed: true });
  t.equal((await post(url, { key: "p", method: "PATCH" })).text, "PATCH 4");
  t.match(await post(url, { key: "p", method: "PATCH" }), { text: "PATCH 4", isReplayed: true });
  t.equal((await post(url, { key: "p", method: "PUT" })).text, "PUT 5", "PUT is left alone");
  const reply = await post(`${gateway.url}/any/path?get`, { method: "GET" });
  t.equal(reply.text, "GET 6");
  t.equal(headerOf(reply, "idempotent-replayed"), undefined);
  await gateway.process.kill();
  await gateway.launch("serve", "--upstream", upstream.url, ...ports);
  await gateway.ready();
  t.match(await post(url, { key: "k" }), { text: "POST 3", isReplayed: true }, "the store is durable");
});
