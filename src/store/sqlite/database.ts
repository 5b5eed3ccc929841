import { chmodSync, closeSync, fsyncSync, openSync } from "node:fs";
import { join } from "node:path";
import { databaseFile, syncFolder } from "./folder.js";
import { type Database, loadLibrary } from "./library.js";
import { pause } from "./pause.js";
import { applicationId, format, schemaText } from "./schema.js";
import { isBusy } from "./sqlite-error.js";

/** How long another process may keep the database to itself. */
const lockPatienceMs = 4000;
const shortestRestMs = 0.2;
const longestRestMs = 0.8;

const library = await loadLibrary();

/** A connection with what each one must say for itself: it is not kept in the file. */
export function connect(folder: string, cacheKiB: number): Database {
  const db = new library.DatabaseSync(join(folder, databaseFile));
  try {
    // NORMAL, which the library was built with, flushes no commit.
    db.exec("PRAGMA synchronous = FULL; PRAGMA busy_timeout = 0; PRAGMA wal_autocheckpoint = 0;");
    db.exec(`PRAGMA cache_size = -${cacheKiB}; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864;`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Makes the tables where there are none. Throws one sentence where the file is not one of this program and format. */
export function prepareDatabase(db: Database, folder: string): void {
  const mode = patiently(() => (pragma(db, "journal_mode") === "wal" ? "wal" : pragma(db, "journal_mode = WAL")));
  if (mode !== "wal") throw new Error(`The data folder ${folder} cannot be used: its file system shares no memory.`);
  const isNew = immediately(db, () => {
    const isEmpty = db.prepare("SELECT 1 FROM sqlite_schema").get() === undefined;
    if (isEmpty) db.exec(schemaText);
    return isEmpty;
  });
  if (pragma(db, "application_id") !== applicationId) {
    throw new Error(`The data folder ${folder} is not one of this program: ${databaseFile} is something else.`);
  }
  const found = pragma(db, "user_version");
  if (found !== format) {
    throw new Error(`The data folder ${folder} is of another version (format ${found}, this one knows ${format}).`);
  }
  if (isNew) {
    for (const name of [databaseFile, `${databaseFile}-wal`, `${databaseFile}-shm`])
      chmodSync(join(folder, name), 0o600);
    const fd = openSync(join(folder, databaseFile), "r+");
    fsyncSync(fd);
    closeSync(fd);
  }
  // SQLite flushes the folder for the connection that makes the WAL, and another one may be the first to write to it.
  syncFolder(folder);
}

export function pragma(db: Database, name: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}

/** One write transaction. What `work` throws undoes it. */
export function immediately<T>(db: Database, work: () => T): T {
  patiently(() => db.exec("BEGIN IMMEDIATE"));
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    rollBack(db);
    throw error;
  }
}

export function rollBack(db: Database): void {
  try {
    if (db.isTransaction) db.exec("ROLLBACK");
  } catch {
    // It is undone when the connection is closed.
  }
}

/**
 * Tries until the database is free. SQLite's own way of waiting sleeps up to 100 ms at a time, so that a process which
 * came later is served first; here the one that has waited longest looks most often.
 */
export function patiently<T>(work: () => T): T {
  const endsAtMs = performance.now() + lockPatienceMs;
  for (let restMs = longestRestMs; ; restMs = Math.max(shortestRestMs, 0.9 * restMs)) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || performance.now() > endsAtMs) throw error;
    }
    pause(restMs * (0.5 + Math.random()));
  }
}
