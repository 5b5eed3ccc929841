import { existsSync } from "node:fs";
import { join } from "node:path";
import type { StoreConfig } from "../config/config.js";
import { databaseFile } from "./sqlite/folder.js";

/** Copies the records to a new file, or throws one sentence. */
export async function backUpStore(config: StoreConfig, file: string): Promise<void> {
  if (config.type === "redis")
    throw new Error("only the embedded store is backed up here; for Redis use its own tools");
  if (!existsSync(join(config.path, databaseFile))) throw new Error(`there are no records in ${config.path}`);
  if (existsSync(file)) throw new Error(`${file} exists`);
  const { writeBackup } = await import("./sqlite/backup.js");
  writeBackup(config.path, file);
}
