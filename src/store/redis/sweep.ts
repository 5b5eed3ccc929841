import type { RecordKey } from "../../model.js";
import type { Swept } from "../record-store.js";
import type { RecordRedis } from "./connect.js";
import type { KeyNames } from "./keys.js";

/** Asked for at once: the server answers no other client in between, for some milliseconds at most. */
const sweptTagsAtOnce = 8;

/** Tag by tag, until there are `limit`. What is left is for the next sweep, which begins with another tag. */
export async function sweepTags(
  client: RecordRedis,
  names: KeyNames,
  tags: readonly string[],
  limit: number,
): Promise<readonly Swept[]> {
  const swept: Swept[] = [];
  const first = Math.floor(Math.random() * tags.length);
  const inTurn = [...tags.slice(first), ...tags.slice(0, first)];
  for (let from = 0; from < inTurn.length && swept.length < limit; ) {
    const left = limit - swept.length;
    const part = inTurn.slice(from, from + Math.min(sweptTagsAtOnce, left));
    from += part.length;
    // No more than may be reported.
    const share = Math.floor(left / part.length);
    const asked = part.map((tag) => client.sweep(names.open(tag), share));
    for (const reply of await Promise.all(asked)) {
      for (let at = 0; at < reply.length; at += 2) swept.push({ key: reply[at] as RecordKey, route: reply[at + 1]! });
    }
  }
  return swept;
}
