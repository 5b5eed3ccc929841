import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { endWithMe } from "../guardian.js";

const program = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

const running = new Set<ChildProcess>();

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `node dist/main.js ARGS` as a process of its own, which ends with this process, at the latest. */
export class GatewayProcess {
  stdout = "";
  stderr = "";
  readonly exit: Promise<Exit>;
  readonly #child: ChildProcess;

  constructor(args: readonly string[], options: { readonly cwd: string; readonly env?: Record<string, string> }) {
    if (!existsSync(program)) throw new Error("dist/main.js is not there: run `npm run build` first");
    this.#child = spawn(process.execPath, [program, ...args], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this.#child);
    endWithMe(this.#child);
    this.#child.stdout?.setEncoding("utf8").on("data", (text) => {
      this.stdout += text;
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text) => {
      this.stderr += text;
    });
    this.exit = once(this.#child, "close").then(([code, signal]) => {
      running.delete(this.#child);
      return { code, signal };
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isRunning(): boolean {
    return running.has(this.#child);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** kill -9, and the end of it. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exit;
  }

  /** The log's lines, each an object. */
  log(): Record<string, unknown>[] {
    return this.stdout
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line));
  }
}

/** The processes that a process has started, as Linux tells. */
export async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text.split(" ").filter(Boolean).map(Number);
}

/** The exit of a process that should end by itself; it is killed when it does not. */
export async function exitOf(child: GatewayProcess, withinMs = 20_000): Promise<Exit> {
  const timer = setTimeout(() => child.signal("SIGKILL"), withinMs);
  try {
    return await child.exit;
  } finally {
    clearTimeout(timer);
  }
}
