import type { RecordKey, RecordState } from "../../model.js";
import type { ListPage, ListQuery, RecordView } from "../record-store.js";
import type { RecordRedis } from "./connect.js";
import { doubtScore, type KeyNames } from "./keys.js";
import { viewOf } from "./view.js";

/** Keys in one stretch of a walk: few enough that nobody else waits noticeably long for the server. */
const scanCount = 500;
const peekBatch = 100;

/** Sorts as text by creation, then id: a record's place in the list, and the cursor. */
type Place = string;

/**
 * Newest first, from the place after the cursor. What is open is read from its indexes; anything else is found by
 * walking all keys, while only the newest `limit + 1` places are held. Redis may show a key twice on such a walk, and
 * may change under it: the page is read again, record by record, before it is given out.
 */
export async function listRecords(
  client: RecordRedis,
  names: KeyNames,
  query: ListQuery,
  tags: readonly string[],
): Promise<ListPage> {
  const isOpenOnly = query.state === "in_flight" || query.state === "in_doubt";
  // Not one of ours: behind it there is nothing.
  if (query.cursor !== undefined && !/^\d{16}\.[0-9a-f]{64}$/.test(query.cursor)) return { records: [], cursor: null };
  const wanted = query.limit + 1;
  const places = isOpenOnly
    ? await openPlaces(client, names, query, tags)
    : await scannedPlaces(client, names, query, wanted);
  const records: RecordView[] = [];
  for (let from = 0; from < places.length; from += peekBatch) {
    const views = await peekAll(client, names, places.slice(from, from + peekBatch));
    for (const view of views) {
      if (view === undefined || !isWanted(view, query)) continue;
      if (records.length === query.limit) return { records, cursor: placeOf(records.at(-1)!) };
      records.push(view);
    }
  }
  // Of the places that were held some are gone by now. There may be more behind the last of them.
  return { records, cursor: !isOpenOnly && places.length === wanted ? places.at(-1)! : null };
}

/** One page of what several servers list. It ends where the first of them knows of no more. */
export function mergePages(pages: readonly ListPage[], limit: number): ListPage {
  if (pages.length === 1) return pages[0]!;
  const ends = pages.flatMap(({ cursor }) => (cursor === null ? [] : [cursor])).sort(descending);
  const known = new Map(pages.flatMap(({ records }) => records).map((view) => [placeOf(view), view]));
  const places = [...known.keys()].filter((place) => ends[0] === undefined || place >= ends[0]).sort(descending);
  const records = places.slice(0, limit).map((place) => known.get(place)!);
  return { records, cursor: places.length > limit ? places[limit - 1]! : (ends[0] ?? null) };
}

async function openPlaces(
  client: RecordRedis,
  names: KeyNames,
  query: ListQuery,
  tags: readonly string[],
): Promise<Place[]> {
  const nowMs = await serverNowMs(client);
  const prefix = query.idPrefix ?? "";
  const wanted = tags.filter((tag) => tag.startsWith(prefix.slice(0, 2)) || prefix.startsWith(tag));
  const pipeline = client.pipeline();
  for (const tag of wanted) {
    const open = names.open(tag);
    if (query.state === "in_flight") pipeline.zrange(open, `(${nowMs}`, `(${doubtScore}`, "BYSCORE");
    else {
      pipeline.zrange(open, "-inf", String(nowMs + 1000), "BYSCORE");
      pipeline.zrange(open, `(${doubtScore + nowMs}`, "+inf", "BYSCORE");
    }
  }
  const places: Place[] = [];
  for (const members of await results(pipeline)) {
    for (const place of (members as string[]).map(placeOfMember)) {
      if (query.cursor === undefined || place < query.cursor) places.push(place);
    }
  }
  return places.sort(descending);
}

async function scannedPlaces(client: RecordRedis, names: KeyNames, query: ListQuery, wanted: number): Promise<Place[]> {
  const pattern = names.pattern(query.idPrefix ?? "");
  const filters = [query.state ?? "", query.route ?? "", query.keyHash ?? ""] as const;
  const notAfter = query.cursor === undefined ? Number.MAX_SAFE_INTEGER : createdAt(query.cursor);
  let newest: Place[] = [];
  let scanCursor = "0";
  do {
    // Once there are enough, older ones need not be sent.
    const notBefore = newest.length < wanted ? 0 : createdAt(newest.at(-1)!);
    const [next, ...members] = await client.survey(scanCursor, pattern, scanCount, notBefore, notAfter, ...filters);
    scanCursor = next!;
    const found = members.map(placeOfMember).filter((place) => query.cursor === undefined || place < query.cursor);
    if (found.length > 0) newest = [...new Set([...newest, ...found])].sort(descending).slice(0, wanted);
  } while (scanCursor !== "0");
  return newest;
}

async function peekAll(client: RecordRedis, names: KeyNames, places: Place[]): Promise<(RecordView | undefined)[]> {
  const keys = places.map((place) => place.slice(-64) as RecordKey);
  return await Promise.all(keys.map(async (key) => viewOf(key, await client.peekBuffer(names.record(key), "0"))));
}

function isWanted(view: RecordView, query: ListQuery): boolean {
  const state: RecordState | undefined = query.state;
  if (state !== undefined && view.state !== state) return false;
  if (query.route !== undefined && view.route !== query.route) return false;
  if (query.keyHash !== undefined && view.keyHash !== query.keyHash) return false;
  return query.idPrefix === undefined || view.key.startsWith(query.idPrefix);
}

function placeOf(view: RecordView): Place {
  return placeAt(view.createdAtMs, view.key);
}

/** `created:id`, as the indexes and `survey.lua` have it. */
function placeOfMember(member: string): Place {
  const colon = member.indexOf(":");
  return placeAt(Number(member.slice(0, colon)), member.slice(colon + 1) as RecordKey);
}

function placeAt(createdAtMs: number, key: RecordKey): Place {
  return `${String(createdAtMs).padStart(16, "0")}.${key}`;
}

function createdAt(place: Place): number {
  return Number(place.slice(0, 16));
}

function descending(a: Place, b: Place): number {
  return a < b ? 1 : -1;
}

/** Whole seconds: up to one second ago. */
async function serverNowMs(client: RecordRedis): Promise<number> {
  const [seconds] = await client.time();
  return Number(seconds) * 1000;
}

async function results(pipeline: ReturnType<RecordRedis["pipeline"]>): Promise<unknown[]> {
  if (pipeline.length === 0) return [];
  return ((await pipeline.exec()) ?? []).map(([error, value]) => {
    if (error !== null) throw error;
    return value;
  });
}
