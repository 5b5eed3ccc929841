import { immediately } from "./database.js";
import { isLarge } from "./folder.js";
import type { Database } from "./library.js";
import { isDamage } from "./sqlite-error.js";

/** Of several processes on one folder one looks through a large file. */
const checkAgainAfterMs = 10 * 60_000;

/**
 * Looks through every page. Throws one sentence where one is damaged. A large file is looked through while the store is
 * at work, so that its start does not wait for it.
 */
export function checkPages(db: Database, folder: string, when: "start" | "work"): void {
  if (isLarge(folder) ? when === "start" || !isOurTurn(db) : when === "work") return;
  const [first] = findings(db);
  if (first !== "ok") {
    throw new Error(`The data folder ${folder} is damaged: ${first}. Nothing was changed; see docs/embedded-store.md.`);
  }
}

function findings(db: Database): string[] {
  try {
    return db
      .prepare("PRAGMA quick_check(1)")
      .all()
      .map((row) => String(Object.values(row as object)[0]).replace(/^\*\*\*.*\*\*\*\s+/, ""));
  } catch (error) {
    if (!isDamage(error)) throw error;
    return [(error as Error).message];
  }
}

function isOurTurn(db: Database): boolean {
  const nowMs = Date.now();
  const claim = db.prepare("UPDATE clock SET checked = ? WHERE abs(? - checked) > ?");
  return immediately(db, () => claim.run(nowMs, nowMs, checkAgainAfterMs).changes === 1);
}
