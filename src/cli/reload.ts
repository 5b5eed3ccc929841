import { statSync } from "node:fs";
import type { Logger } from "pino";
import type { Config } from "../config/config.js";
import type { Contents } from "../config/files.js";
import { formatMistake } from "../config/findings.js";
import type { Loaded } from "../config/load.js";
import { reloaded, restartOnly } from "../config/restart.js";
import type { Gateway } from "../gateway.js";

/** `fs.watch` on a mounted ConfigMap hears nothing, so the files are looked at this often, ms. */
const lookMs = 1_000;

/** Brings a changed configuration into force. A bad one is refused with its mistakes, and the old one stays. */
export class Reloader {
  readonly #timer: NodeJS.Timeout | undefined;
  #seen: string;

  constructor(
    private readonly load: (contents?: Contents) => Loaded,
    private last: Loaded,
    private inForce: Config,
    private readonly gateway: Gateway,
    private readonly log: Logger,
    watchesFiles: boolean,
  ) {
    this.#seen = stateOf(last.files);
    if (watchesFiles) this.#timer = setInterval(() => this.#look(), lookMs);
    this.#timer?.unref();
  }

  /** By what is on the disk, unless `contents` are given. */
  reload(contents?: Contents): void {
    const loaded = this.load(contents);
    this.last = loaded;
    this.#seen = stateOf(loaded.files);
    if (loaded.kind !== "ok") {
      const lines = loaded.kind === "bad" ? loaded.mistakes.map(formatMistake) : [loaded.message];
      for (const line of lines) this.log.error(line);
      this.gateway.refuse(loaded.contents);
      return;
    }
    const ignored = restartOnly(this.inForce, loaded.config);
    if (ignored.length > 0) this.log.warn({ settings: ignored }, "these settings take effect after a restart only");
    this.inForce = reloaded(this.inForce, loaded.config);
    this.gateway.apply(this.inForce, loaded.contents);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const state = stateOf(this.last.files);
    if (state === this.#seen) return;
    this.#seen = state;
    if (this.load().digest !== this.last.digest) this.reload();
  }
}

/** Changes with any of the files, also when a folder of links is swapped under them. */
function stateOf(files: readonly string[]): string {
  return files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false, bigint: true });
      return stat === undefined ? "-" : `${stat.ino} ${stat.size} ${stat.mtimeNs}`;
    })
    .join("\n");
}
