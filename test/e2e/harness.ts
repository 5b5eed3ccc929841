import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { stringify } from "yaml";
import { freePort } from "./free-port.js";
import { exitOf, GatewayProcess } from "./gateway-process.js";

/** Part of a config file, as an object. Ports, hosts and the log level are filled in where they are missing. */
export interface Settings {
  readonly server?: object;
  readonly admin?: object;
  readonly store?: object;
  readonly logging?: object;
  readonly problems?: object;
  readonly defaults?: object;
  readonly routes?: readonly object[];
}

interface Owner {
  /** As of tap: what to do at the end of the test. */
  teardown(handler: () => unknown): void;
}

/** A record as the admin port shows it. */
export interface ShownRecord {
  readonly id: string;
  readonly route: string;
  readonly state: "in_flight" | "completed" | "in_doubt" | "not_replayable";
  readonly attempts: number;
  readonly status: number | null;
  readonly cause: string | null;
}

/** On a busy machine a start alone takes seconds. */
const patienceMs = 30_000;
const lookMs = 40;

/** A folder that is gone at the end of the test. */
export async function tempFolder(t: Owner): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "idempotency-e2e-"));
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** A gateway with its ports and its config file. It can be killed and started again; both keep. */
export class Gateway {
  process!: GatewayProcess;

  private constructor(
    readonly folder: string,
    readonly port: number,
    readonly adminPort: number,
  ) {}

  get configFile(): string {
    return join(this.folder, `gateway-${this.port}.yaml`);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Runs and is ready. `folder`: shared by gateways that share one embedded store (`./data` in it). */
  static async start(t: Owner, settings: Settings, folder?: string): Promise<Gateway> {
    const gateway = await Gateway.prepare(t, settings, folder);
    await gateway.launch();
    await gateway.ready();
    return gateway;
  }

  /** With its config file written, not yet running. */
  static async prepare(t: Owner, settings: Settings, folder?: string): Promise<Gateway> {
    // Teardowns run last first: the process ends before its folder goes.
    const home = folder ?? (await tempFolder(t));
    const gateway = new Gateway(home, await freePort(), await freePort());
    t.teardown(() => gateway.process?.kill());
    await gateway.configure(settings);
    return gateway;
  }

  async configure(settings: Settings): Promise<void> {
    const whole = {
      ...settings,
      server: { host: "127.0.0.1", port: this.port, ...settings.server },
      admin: { port: this.adminPort, ...settings.admin },
      store: settings.store ?? { type: "embedded", path: "./data" },
      logging: { level: "info", ...settings.logging },
    };
    await writeFile(this.configFile, stringify(whole));
  }

  async launch(...args: string[]): Promise<void> {
    const all = args.length > 0 ? args : ["serve", "--config", this.configFile];
    this.process = new GatewayProcess(all, { cwd: this.folder });
  }

  async restart(): Promise<void> {
    await this.launch();
    await this.ready();
  }

  /** Until `/readyz` says so. */
  async ready(): Promise<void> {
    await this.until(`ready on port ${this.adminPort}`, async () => {
      if (!this.process.isRunning) throw new Error(`the gateway ended: ${this.process.stderr}${this.process.stdout}`);
      return (await this.readiness()) === 200;
    });
  }

  /** The status of `/readyz`; `undefined` where nobody answers. */
  async readiness(): Promise<number | undefined> {
    try {
      const response = await fetch(this.adminUrl("/readyz"), { signal: AbortSignal.timeout(2_000) });
      await response.arrayBuffer();
      return response.status;
    } catch {
      return undefined;
    }
  }

  adminUrl(path: string): string {
    return `http://127.0.0.1:${this.adminPort}${path}`;
  }

  async admin(method: string, path: string, body?: object): Promise<{ status: number; json: unknown }> {
    const init = body === undefined ? {} : { headers: { "content-type": "application/json" } };
    const response = await fetch(this.adminUrl(path), {
      method,
      ...init,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, json: text === "" ? null : JSON.parse(text) };
  }

  /** Of this idempotency key. */
  async records(key: string): Promise<ShownRecord[]> {
    const { json } = await this.admin("GET", `/v1/records?key=${encodeURIComponent(key)}`);
    return (json as { records: ShownRecord[] }).records;
  }

  async recordState(key: string): Promise<ShownRecord["state"] | "absent"> {
    return (await this.records(key))[0]?.state ?? "absent";
  }

  /** The sum of a metric's samples whose labels include these; 0 when there is none. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const text = await (await fetch(this.adminUrl("/metrics"))).text();
    let sum = 0;
    for (const line of text.split("\n")) {
      if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
      if (!Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`))) continue;
      sum += Number(line.slice(line.lastIndexOf(" ") + 1));
    }
    return sum;
  }

  async waiters(count: number): Promise<void> {
    const name = "idempotency_gateway_waiters";
    await this.until(`${count} waiters`, async () => (await this.metric(name)) === count);
  }

  /** A store that does not answer yet is asked again. */
  async reachesState(key: string, state: ShownRecord["state"] | "absent"): Promise<void> {
    await this.until(`${key} is ${state}`, async () => {
      const { status, json } = await this.admin("GET", `/v1/records?key=${encodeURIComponent(key)}`);
      return status === 200 && ((json as { records: ShownRecord[] }).records[0]?.state ?? "absent") === state;
    });
  }

  /** Asks again and again until it is so; fails after half a minute with what was awaited. */
  async until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
    const endMs = Date.now() + patienceMs;
    while (!(await isSo())) {
      if (Date.now() > endMs) throw new Error(`never came: ${what}\n${this.process.stderr}${this.process.stdout}`);
      await pause(lookMs);
    }
  }

  /** SIGTERM, and how it ended. */
  async stop(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.process.signal("SIGTERM");
    return exitOf(this.process);
  }
}
