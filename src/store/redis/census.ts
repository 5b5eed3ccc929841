import type { DoubtCount } from "../record-store.js";
import type { RecordRedis } from "./connect.js";
import type { KeyNames } from "./keys.js";

/** Of each of the 256 tags: some 12 000 records in all. */
const mostPerTag = 50;
/** Asked for at once: the server answers nobody else in between, some milliseconds at most. */
const tagsAtOnce = 4;

/** What is in doubt is open, and what is open is in the index of its tag: nothing else is looked at. */
export async function countDoubts(
  client: RecordRedis,
  names: KeyNames,
  tags: readonly string[],
): Promise<readonly DoubtCount[]> {
  const counts: DoubtCount[] = [];
  for (let from = 0; from < tags.length; from += tagsAtOnce) {
    const asked = tags.slice(from, from + tagsAtOnce).map((tag) => client.census(names.open(tag), mostPerTag));
    for (const reply of await Promise.all(asked)) {
      for (let at = 0; at < reply.length; at += 4) {
        const [route, records, oldestAgeMs, soonestExpiryMs] = reply.slice(at);
        counts.push({
          route: String(route),
          records: Number(records),
          oldestAgeMs: Number(oldestAgeMs),
          soonestExpiryMs: Number(soonestExpiryMs),
        });
      }
    }
  }
  return counts;
}

/** One count for each route. */
export function mergeCounts(counts: readonly DoubtCount[]): readonly DoubtCount[] {
  const merged = new Map<string, DoubtCount>();
  for (const { route, records, oldestAgeMs, soonestExpiryMs } of counts) {
    const known = merged.get(route) ?? { records: 0, oldestAgeMs: 0, soonestExpiryMs };
    merged.set(route, {
      route,
      records: known.records + records,
      oldestAgeMs: Math.max(known.oldestAgeMs, oldestAgeMs),
      soonestExpiryMs: Math.min(known.soonestExpiryMs, soonestExpiryMs),
    });
  }
  return [...merged.values()];
}
