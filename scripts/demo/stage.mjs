// The processes the demo runs, and the folder they write to. Nothing of either is left when it ends.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../../", import.meta.url));
const program = join(project, "dist/main.js");
const startMs = 15_000;

const configText = (ports, ledgerUrl, folder) => `\
server: { host: 127.0.0.1, port: ${ports.traffic}, drainTimeout: 2s }
admin: { port: ${ports.admin} }
store: { type: embedded, path: ${JSON.stringify(join(folder, "data"))} }
logging: { level: warn }
routes:
  - name: create-payment
    match: { methods: [POST], path: /payments }
    upstream: { url: "${ledgerUrl}" }
    idempotency: { lease: 2s }
  - name: everything-else
    match: { path: /* }
    upstream: { url: "${ledgerUrl}" }
`;

/** The ledger API and the gateway before it, on free ports of this machine's loopback. */
export class Stage {
  #children = new Set();
  #folder = mkdtempSync(join(tmpdir(), "idempotency-demo-"));
  #configFile = join(this.#folder, "gateway.yaml");
  #gateway;

  /** For whatever ends this process: nothing is left behind. */
  constructor() {
    process.once("exit", () => this.#sweep());
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));
  }

  async open() {
    const ledger = this.#spawn([join(project, "examples/ledger-api.mjs"), "0"]);
    this.ledgerUrl = await firstLine(ledger, /http:\/\/\S+/);
    const [traffic, admin] = await freePorts(2);
    this.url = `http://127.0.0.1:${traffic}`;
    this.adminUrl = `http://127.0.0.1:${admin}`;
    writeFileSync(this.#configFile, configText({ traffic, admin }, this.ledgerUrl, this.#folder));
    await this.startGateway();
  }

  async startGateway() {
    const gateway = this.#spawn([program, "serve", "--config", this.#configFile]);
    this.#gateway = gateway;
    await isReady(gateway, `${this.adminUrl}/readyz`);
  }

  /** kill -9: no handler runs, nothing is flushed. */
  async killGateway() {
    this.#gateway.kill("SIGKILL");
    await this.#gateway.over;
  }

  /** `idempotency-gateway ARGS`, with what it printed. */
  async command(...args) {
    const child = this.#spawn([program, ...args]);
    await child.over;
    if (child.exitCode !== 0) throw new Error(`idempotency-gateway ${args[0]} ${args[1]}: ${child.printed}`);
    return child.printed;
  }

  async rows() {
    return (await (await fetch(`${this.ledgerUrl}/payments`)).json()).length;
  }

  async close() {
    for (const child of this.#children) child.kill("SIGTERM");
    const late = setTimeout(() => this.#sweep(), 5_000);
    await Promise.all([...this.#children].map((child) => child.over));
    clearTimeout(late);
    this.#sweep();
  }

  #spawn(args) {
    const child = spawn(process.execPath, args, { cwd: this.#folder, stdio: ["ignore", "pipe", "pipe"] });
    child.printed = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        child.printed += text;
      });
    }
    child.over = new Promise((resolve) => child.once("close", resolve)).then(() => this.#children.delete(child));
    this.#children.add(child);
    return child;
  }

  #sweep() {
    for (const child of this.#children) child.kill("SIGKILL");
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function firstLine(child, pattern) {
  const until = Date.now() + startMs;
  while (!pattern.test(child.printed)) await againOrFail(child, until);
  return pattern.exec(child.printed)[0];
}

async function isReady(child, url) {
  const until = Date.now() + startMs;
  for (;;) {
    const response = await fetch(url).catch(() => undefined);
    await response?.arrayBuffer();
    if (response?.status === 200) return;
    await againOrFail(child, until);
  }
}

async function againOrFail(child, until) {
  if (child.exitCode !== null || Date.now() > until) throw new Error(`it did not start:\n${child.printed}`);
  await new Promise((resolve) => setTimeout(resolve, 25));
}

/** All of them open at once, so that they differ. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) => new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port))),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
