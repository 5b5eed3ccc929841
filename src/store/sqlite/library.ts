import type { DatabaseSyncInstance } from "@photostructure/sqlite";

export type Database = DatabaseSyncInstance;
type Library = { readonly DatabaseSync: new (path: string, options?: { readonly readOnly?: boolean }) => Database };

/** Versions before this one may lose a commit when two connections reset the WAL at the same moment. */
const oldestVersion = [3, 51, 3] as const;

/** `node:sqlite` where this Node has it with a version that is safe, else the package with the same interface. */
export async function loadLibrary(): Promise<Library> {
  const builtin = process.getBuiltinModule?.("node:sqlite") as Library | undefined;
  if (builtin !== undefined && isSafe(versionOf(builtin))) return builtin;
  const library = (await import("@photostructure/sqlite")) as unknown as Library;
  const version = versionOf(library);
  if (!isSafe(version)) throw new Error(`SQLite ${version} is too old: ${oldestVersion.join(".")} or newer is needed.`);
  return library;
}

function versionOf({ DatabaseSync }: Library): string {
  const db = new DatabaseSync(":memory:");
  try {
    return String(Object.values(db.prepare("SELECT sqlite_version()").get() ?? {})[0]);
  } finally {
    db.close();
  }
}

export function isSafe(version: string): boolean {
  const parts = version.split(".").map(Number);
  for (const [index, oldest] of oldestVersion.entries()) {
    const part = parts[index] ?? 0;
    if (part !== oldest) return part > oldest;
  }
  return true;
}
