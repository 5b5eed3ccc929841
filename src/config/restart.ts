import type { Config } from "./config.js";

/** What a reload takes over: for everything else the process has to be started anew. */
const reloadable: ReadonlySet<string> = new Set(["routes", "problems", "certificates"]);

/** What is in force once `next` was loaded by a process that runs by `old`. */
export function reloaded(old: Config, { routes, problems, certificates }: Config): Config {
  return { ...old, routes, problems, certificates };
}

/** The settings that differ and that a reload cannot apply, named as in the file: `server.port`, `store.url`. */
export function restartOnly(old: Config, next: Config): string[] {
  return (Object.keys(next) as (keyof Config)[])
    .filter((name) => !reloadable.has(name))
    .flatMap((name) => differences(old[name], next[name], name));
}

function differences(old: unknown, next: unknown, path: string): string[] {
  if (!isGroup(old) || !isGroup(next)) return JSON.stringify(old) === JSON.stringify(next) ? [] : [path];
  const names = [...new Set([...Object.keys(old), ...Object.keys(next)])];
  return names.flatMap((name) => differences(old[name], next[name], `${path}.${settingOf(name)}`));
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The unit is in the compiled name only. */
function settingOf(name: string): string {
  return name.replace(/(Ms|Bytes)$/, "");
}
