import { closeSync, fsyncSync, openSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { connect, patiently } from "./database.js";
import { syncFolder } from "./folder.js";

const backupCacheKiB = 8 * 1024;

/** Writes one whole, compact copy of the records to `file`, which must not be there, while others go on writing. */
export function writeBackup(folder: string, file: string): void {
  // Made here, so that no other user can read it; SQLite fills a file that is empty.
  closeSync(openSync(file, "wx", 0o600));
  const db = patiently(() => connect(folder, backupCacheKiB));
  try {
    patiently(() => db.prepare("VACUUM INTO ?").run(resolve(file)));
  } finally {
    db.close();
  }
  const fd = openSync(file, "r+");
  fsyncSync(fd);
  closeSync(fd);
  syncFolder(dirname(resolve(file)));
}
