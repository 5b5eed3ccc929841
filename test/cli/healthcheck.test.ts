import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import t, { type Test } from "tap";
import { healthcheck } from "../../src/cli/healthcheck.js";

async function adminPort(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function run(args: string[], env: Record<string, string> = {}, cwd = "/") {
  const told = { stdout: "", stderr: "" };
  const io = {
    stdout: { write: (text: string) => (told.stdout += text) },
    stderr: { write: (text: string) => (told.stderr += text) },
    env,
    cwd,
  };
  return { code: await healthcheck(args, io), ...told };
}

t.test("a gateway that is ready is well, and only /readyz is asked", async (t) => {
  const asked: string[] = [];
  const url = await adminPort(t, (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.end('{"state":"ready"}');
  });
  t.same(await run(["--admin", url]), { code: 0, stdout: '200 {"state":"ready"}\n', stderr: "" });
  t.equal((await run(["--admin", `${url}/behind/a/path/`])).code, 0);
  t.equal((await run(["--admin", url, "--live"])).code, 0);
  t.same(asked, ["GET /readyz", "GET /behind/a/path/readyz", "GET /healthz"]);
});

t.test("one that is not ready is not, and its reason is passed on", async (t) => {
  const url = await adminPort(t, (_, response) => response.writeHead(503).end('{"state":"draining"}'));
  t.same(await run(["--admin", url]), { code: 1, stdout: "", stderr: '503 {"state":"draining"}\n' });
});

t.test("something else that answers there is not a gateway that is well", async (t) => {
  const url = await adminPort(t, (_, response) => response.writeHead(302, { location: "/login" }).end());
  t.equal((await run(["--admin", url])).code, 1);
});

t.test("nobody there: one line that says so", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const { code, stderr } = await run(["--admin", `http://127.0.0.1:${port}`]);
  t.equal(code, 1);
  t.match(stderr, /^healthcheck: http:.*ECONNREFUSED.*\n$/);
});

t.test("one that never comes to the end of its answer is given up", async (t) => {
  const url = await adminPort(t, (_, response) => void response.writeHead(200).write("{"));
  const { code, stderr } = await run(["--admin", url]);
  t.equal(code, 1);
  t.match(stderr, "did not answer in 2000 ms");
});

t.test("the address comes from the configuration, which counts before the environment", async (t) => {
  const url = await adminPort(t, (_, response) => response.end("ready"));
  const config = `
admin: { host: 0.0.0.0, port: ${new URL(url).port}, token: a-token }
routes: [{ name: all, match: { path: "/*" }, upstream: { url: "http://127.0.0.1:1" } }]
`;
  const folder = t.testdir({ "gateway.yaml": config, "bad.yaml": "routes: 1" });
  t.equal((await run(["--config", "gateway.yaml"], { ADMIN_URL: "http://127.0.0.1:1" }, folder)).code, 0);
  t.equal((await run([], { ADMIN_URL: url })).code, 0);
  const bad = await run(["--config", "bad.yaml"], {}, folder);
  t.equal(bad.code, 1);
  t.match(bad.stderr, /bad\.yaml:1/);
});

t.test("a wrong command line is 2, with the usage", async (t) => {
  for (const args of [
    ["--port", "1"],
    ["extra"],
    ["--admin", "localhost:9090"],
    ["--admin", "https://x"],
    ["--admin"],
  ]) {
    const { code, stderr } = await run(args);
    t.equal(code, 2, args.join(" "));
    t.match(stderr, "usage: idempotency-gateway healthcheck");
  }
  t.match(await run(["--help"]), { code: 0, stdout: /--live/ });
});
