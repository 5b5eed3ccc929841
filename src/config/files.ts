import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Parsed, refuse } from "./parsed.js";

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  EISDIR: "is a folder",
  ENOTDIR: "no such file",
};

/** What was in the files of a configuration, by their absolute names; `null` for one that could not be read. */
export type Contents = ReadonlyMap<string, Buffer | null>;

/** Reads the files a configuration is made of, and remembers which they were and what was in them. */
export class ConfigFiles {
  readonly #folder: string;
  readonly #contents = new Map<string, Buffer | null>();

  /** Relative paths are relative to this folder. `given`: what is in the files, whatever the disk says. */
  constructor(
    folder: string,
    private readonly given?: Contents,
  ) {
    this.#folder = folder;
  }

  resolve(path: string): string {
    return resolve(this.#folder, path);
  }

  read(path: string): Parsed<string> {
    const absolute = this.resolve(path);
    try {
      const bytes = this.given === undefined ? readFileSync(absolute) : this.#given(absolute);
      this.#contents.set(absolute, bytes);
      return { ok: true, value: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
    } catch (error) {
      const { code = "", message } = error as NodeJS.ErrnoException;
      if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") return refuse(`${path} is not UTF-8 text`);
      this.#contents.set(absolute, null);
      return refuse(`cannot read ${path}: ${reasons[code] ?? (code || message)}`);
    }
  }

  #given(absolute: string): Buffer {
    const bytes = this.given?.get(absolute);
    if (bytes === undefined || bytes === null) throw new Error("it could not be read");
    return bytes;
  }

  /** A secret, less the one line end that editors and `echo` leave behind it. */
  readSecret(path: string): Parsed<string> {
    const file = this.read(path);
    return file.ok ? { ok: true, value: file.value.replace(/\r?\n$/, "") } : file;
  }

  /** Absolute, those that could not be read too: they may appear later. */
  get names(): readonly string[] {
    return [...this.#contents.keys()];
  }

  get contents(): Contents {
    return this.#contents;
  }

  /** Equal as long as every file holds the same. SHA-256, hexadecimal. */
  digest(): string {
    const hash = createHash("sha256");
    for (const [name, bytes] of this.#contents) {
      hash.update(JSON.stringify([name, bytes === null ? -1 : bytes.length]));
      hash.update(bytes ?? "");
    }
    return hash.digest("hex");
  }
}
