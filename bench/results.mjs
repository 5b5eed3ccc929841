// Where results are kept, and what is said of the machine they are from.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";

const file = (name) => new URL(`results/${name}`, import.meta.url);

export function write(name, content) {
  mkdirSync(file(""), { recursive: true });
  writeFileSync(file(name), typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n`);
}

export function read(name) {
  try {
    return JSON.parse(readFileSync(file(name), "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

const loadNow = () => Math.round(loadavg()[0] * 10) / 10;

/** Called at the start; the answer, called at the end, has the load of both moments: on a busy machine numbers mean little. */
export function describeMachine() {
  const before = loadNow();
  return () => ({ cpu: cpus()[0].model, cores: cpus().length, node: process.version, load: [before, loadNow()] });
}
