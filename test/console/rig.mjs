/** A real gateway from dist/, an API behind it that can be told to misbehave, and a real browser before its admin port. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { stringify } from "yaml";

const program = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const patienceMs = 30_000;

/** Says at once what it was told to say by the request's body: `reset`, `hang`, `status 504`; else 201 with markup in it. */
async function startApi() {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const wanted = request.headers["x-behave"] ?? "";
    if (wanted === "reset") return request.socket.resetAndDestroy();
    if (wanted === "hang") return;
    const status = Number(/^status (\d+)$/.exec(wanted)?.[1] ?? 201);
    response.writeHead(status, { "content-type": "application/json", "x-note": "<b onmouseover=alert(2)>" });
    response.end(JSON.stringify({ note: "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>", body }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

async function freePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** `settings`: what differs from one worker, no token, and the two routes. */
export async function startGateway({ server = {}, admin = {}, routes } = {}) {
  const api = await startApi();
  const folder = mkdtempSync(join(tmpdir(), "console-"));
  const [port, adminPort] = [await freePort(), await freePort()];
  const config = {
    server: { host: "127.0.0.1", port, ...server },
    admin: { port: adminPort, ...admin },
    store: { type: "embedded", path: "./data" },
    routes: routes?.(api.url) ?? [
      {
        name: "create-payment",
        match: { path: "/v1/payments" },
        upstream: { url: api.url, timeout: "1s" },
        idempotency: {},
      },
      { name: "everything-else", match: { path: "/*" }, upstream: { url: api.url } },
    ],
  };
  writeFileSync(join(folder, "gateway.yaml"), stringify(config));
  const child = spawn(process.execPath, [program, "serve", "--config", join(folder, "gateway.yaml")], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  }
  const gateway = new Gateway(
    `http://127.0.0.1:${port}`,
    `http://127.0.0.1:${adminPort}/`,
    () => output,
    async () => {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
      api.close();
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  );
  await until("the gateway is ready", async () => {
    if (child.exitCode !== null) throw new Error(`the gateway ended: ${output}`);
    return (await fetch(`${gateway.admin}readyz`).catch(() => null))?.ok === true;
  });
  return gateway;
}

class Gateway {
  constructor(traffic, admin, output, stop) {
    Object.assign(this, { traffic, admin, output, stop });
  }

  /** A client's request with a key. */
  async send(key, behave = "", path = "/v1/payments") {
    const headers = { "idempotency-key": key, "content-type": "application/json", "x-behave": behave };
    const response = await fetch(this.traffic + path, { method: "POST", headers, body: '{"amount":100}' });
    return { status: response.status, headers: response.headers, body: await response.text() };
  }

  async api(path, init = {}) {
    const response = await fetch(`${this.admin}${path}`, init);
    const text = await response.text();
    return { status: response.status, data: text === "" ? null : JSON.parse(text) };
  }

  async recordOf(key) {
    const { data } = await this.api(`v1/records?key=${encodeURIComponent(key)}`);
    return data.records[0];
  }

  /** The log's lines about decisions. */
  audits() {
    const lines = this.output().split("\n");
    return lines.filter((line) => line.includes("an operator's write")).map((line) => JSON.parse(line));
  }
}

export async function until(what, isSo) {
  const endMs = Date.now() + patienceMs;
  while (!(await isSo())) {
    if (Date.now() > endMs) throw new Error(`never came: ${what}`);
    await pause(50);
  }
}

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // A page of another site, and one whose own name leads to this machine.
  "--host-resolver-rules=MAP evil.test 127.0.0.1",
];

/** Its user data folder is fresh, and gone when it is closed. */
export async function startBrowser(executablePath) {
  const browser = await chromium.launch({ executablePath, args: flags, timeout: 60_000 });
  const pages = [];
  const contexts = new Set();
  return {
    /** A tab of its own profile. What goes wrong in it is kept: scripts, policy, dialogs, requests to elsewhere. */
    async open(address, { size = { width: 1280, height: 900 }, scheme = "light" } = {}) {
      const context = await browser.newContext({ viewport: size, colorScheme: scheme });
      contexts.add(context);
      context.setDefaultTimeout(patienceMs);
      const page = await context.newPage();
      pages.push(watch(page, new URL(address).origin));
      await page.goto(address);
      return page;
    },
    /** Without being watched: for what must go wrong. */
    async openUnwatched(address) {
      const context = await browser.newContext();
      contexts.add(context);
      const page = await context.newPage();
      const response = await page.goto(address);
      return { page, response };
    },
    /** What was not expected, of all tabs so far. `statuses`: answers that were meant to be errors. */
    complaints(statuses) {
      const isMeant = (text) => statuses.some((status) => text.includes(`status of ${status} `));
      return pages.flat().filter((text) => !isMeant(text));
    },
    /** Before the gateway they look at is stopped. */
    async closePages() {
      for (const context of contexts) await context.close();
      contexts.clear();
    },
    close: () => browser.close(),
  };
}

function watch(page, origin) {
  const found = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") found.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => found.push(`uncaught: ${error.message}`));
  page.on("dialog", (dialog) => {
    found.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) found.push(`asked elsewhere: ${request.url()}`);
  });
  return found;
}
