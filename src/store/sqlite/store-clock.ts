import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Database } from "./library.js";

/** Moves the clocks, ms: the first number both of them, the second the wall clock alone. In shared memory, for tests. */
export type Skew = Float64Array;

/** How often `seen` is written along with other changes. */
const seenEveryMs = 10_000;

/**
 * The one clock of a folder. It goes as the system's monotonic clock does, which is the same for all processes of a
 * host, from where the wall clock stood when the folder was first opened since the system started: a step of the wall
 * clock moves nothing. It never goes backward, not even over a restart of the system with a wrong clock.
 */
export class StoreClock {
  #seenMs = 0;

  private constructor(
    private readonly aheadMs: number,
    private readonly skew: Skew,
  ) {}

  /**
   * Within a transaction. What the system's restart did is made up for here: a lease of the system before is over, and
   * what is open is held for as long again as the gateway was away.
   */
  static read(db: Database, skew: Skew, boot = bootId()): StoreClock {
    const monotonicMs = monotonic() + skew[0]!;
    const wallMs = Math.floor(Date.now() + skew[0]! + skew[1]!);
    const last = db.prepare("SELECT boot, ahead, seen FROM clock").get() as
      | { boot: string; ahead: number; seen: number }
      | undefined;
    if (last?.boot === boot) return new StoreClock(last.ahead, skew);
    const nowMs = Math.max(wallMs, last?.seen ?? 0);
    const aheadMs = Math.ceil(nowMs - monotonicMs);
    if (last !== undefined) {
      const awayMs = nowMs - last.seen;
      db.prepare("UPDATE record SET due = due + ? WHERE state = 2").run(awayMs);
      db.prepare("UPDATE record SET due = min(due, ?), expires = expires + ? WHERE state = 1").run(last.seen, awayMs);
    }
    db.prepare("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?, 0)").run(boot, aheadMs, nowMs);
    return new StoreClock(aheadMs, skew);
  }

  nowMs(): number {
    return Math.floor(monotonic() + this.skew[0]! + this.aheadMs);
  }

  /** Within a transaction that writes something else. */
  note(db: Database, nowMs: number): void {
    if (nowMs < this.#seenMs + seenEveryMs) return;
    this.#seenMs = nowMs;
    db.prepare("UPDATE clock SET seen = max(seen, ?)").run(nowMs);
  }
}

/** Since the system started, ms. The same in every thread and process. */
function monotonic(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** One for each start of the system. */
function bootId(): string {
  if (process.platform === "darwin") {
    return execFileSync("sysctl", ["-n", "kern.bootsessionuuid"], { encoding: "utf8" }).trim();
  }
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
