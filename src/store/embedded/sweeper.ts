import { expiresAtMs } from "./record.js";
import { after, asBuffer, beginOf, expiresAtMsOf, retentionMsOf, type Trees } from "./trees.js";

const first: Buffer = Buffer.of(0);

/**
 * Removes what is over from the trees, a few records at a time. Reading never waits for it: an expired record is as
 * good as none from the moment it expires.
 *
 * The log is in the order of time for each retention, so what is over is at the beginning. `open` and `index` are
 * walked round and round: the entries of one page that are over go with one write of it, where removing each on its own
 * would write a page for each.
 */
export class Sweeper {
  #indexFrom = first;
  #openFrom = first;
  #isFinding = true;

  /**
   * Within the trees' lock. Looks at some `steps` entries of each tree, at a quarter of them while little is over, and returns how
   * many it removed.
   */
  sweep(trees: Trees, nowMs: number, steps: number): number {
    const looks = this.#isFinding ? steps : Math.ceil(steps / 4);
    const [index, indexFrom] = over(trees.index, this.#indexFrom, looks, (logKey) => expiresAtMsOf(logKey) <= nowMs);
    const [open, openFrom] = over(trees.open, this.#openFrom, looks, (record) => expiresAtMs(record) <= nowMs);
    this.#isFinding = 8 * (index.length + open.length) > looks;
    this.#indexFrom = indexFrom;
    this.#openFrom = openFrom;
    for (const key of index) void trees.index.remove(key);
    for (const key of open) void trees.open.remove(key);
    return index.length + open.length + sweepLog(trees, nowMs, steps);
  }
}

type Tree = Trees["index"];

/** The keys that are over among the next `steps` from `from`, and where to go on. */
function over(tree: Tree, from: Buffer, steps: number, isOver: (value: Buffer) => boolean): [Buffer[], Buffer] {
  const found: Buffer[] = [];
  let seen = 0;
  let last = first;
  for (const { key, value } of tree.getRange({ start: from, limit: steps })) {
    seen++;
    last = key;
    if (isOver(asBuffer(value))) found.push(key);
  }
  return [found, seen < steps ? first : after(last)];
}

function sweepLog(trees: Trees, nowMs: number, steps: number): number {
  const found: Buffer[] = [];
  let from: Buffer = first;
  while (found.length < steps) {
    let retentionMs = -1;
    for (const key of trees.log.getKeys({ start: from, limit: steps - found.length })) {
      const logKey = asBuffer(key);
      if (retentionMs < 0) retentionMs = retentionMsOf(logKey);
      if (retentionMsOf(logKey) !== retentionMs || expiresAtMsOf(logKey) > nowMs) break;
      found.push(logKey);
    }
    if (retentionMs < 0) break;
    from = beginOf(retentionMs + 1);
  }
  for (const key of found) void trees.log.remove(key);
  return found.length;
}
