import { createHash } from "node:crypto";
import type { RecordState } from "../model.js";
import { keyHash } from "../rules/key-hash.js";
import { structuredString } from "../rules/structured-string.js";
import type { ListPage, ListQuery, RecordStore } from "../store/record-store.js";
import { invalid } from "./refusal.js";

const parameters: ReadonlySet<string> = new Set(["route", "key", "id", "state", "limit", "cursor"]);
const states: ReadonlySet<string> = new Set<RecordState>(["in_flight", "completed", "in_doubt", "not_replayable"]);
const defaultLimit = 50;
const maxLimit = 1000;

/** A store may look through a part of its records at a time; nobody should have to turn a hundred empty pages. */
const maxSearchMs = 2000;

/** What the query string of a listing asks for. An unknown parameter is refused: ignored, it would list everything. */
export function readListQuery(raw: unknown): ListQuery {
  const given = new Map(Object.entries(raw as Record<string, string | string[]>).filter(([, value]) => value !== ""));
  for (const [name, value] of given) {
    if (!parameters.has(name))
      throw invalid(`There is no parameter "${name}"; known are ${[...parameters].join(", ")}.`);
    if (Array.isArray(value) && name !== "key") throw invalid(`The parameter "${name}" is given more than once.`);
  }
  const text = (name: string) => given.get(name) as string | undefined;
  const key = given.get("key");
  const filters = {
    route: text("route"),
    state: readState(text("state")),
    // A key made of several values is given as several, in their order.
    keyHash: key === undefined ? undefined : keyHash([key].flat().map(asRead)),
    idPrefix: readIdPrefix(text("id")),
  };
  return { ...filters, limit: readLimit(text("limit")), cursor: readCursor(text("cursor"), filters) };
}

export async function findRecords(store: RecordStore, query: ListQuery): Promise<ListPage> {
  const { limit, cursor: _, ...filters } = query;
  const endsAtMs = performance.now() + maxSearchMs;
  const page = await store.list(query);
  const records = [...page.records];
  let { cursor } = page;
  while (cursor !== null && records.length < limit && performance.now() < endsAtMs) {
    const next = await store.list({ ...filters, limit: limit - records.length, cursor });
    records.push(...next.records);
    cursor = next.cursor;
  }
  return { records, cursor: cursor === null ? null : writeCursor(cursor, filters) };
}

/** The quoted form of a key and the plain one are the same key. */
function asRead(key: string): string {
  return key.startsWith('"') ? (structuredString(key) ?? key) : key;
}

function readState(text: string | undefined): RecordState | undefined {
  if (text !== undefined && !states.has(text)) throw invalid(`"state" is one of ${[...states].join(", ")}.`);
  return text as RecordState | undefined;
}

function readIdPrefix(text: string | undefined): string | undefined {
  if (text !== undefined && !/^[\da-f]{8,64}$/i.test(text)) {
    throw invalid('"id" is a record id or its beginning, 8 to 64 hexadecimal digits.');
  }
  return text?.toLowerCase();
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return defaultLimit;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > maxLimit) throw invalid(`"limit" is a number from 1 to ${maxLimit}.`);
  return limit;
}

type Filters = Omit<ListQuery, "limit" | "cursor">;

/** The store's cursor, and a checksum over it and the filters: stores need not suspect what they are handed back. */
function writeCursor(cursor: string, filters: Filters): string {
  return Buffer.from(checksum(cursor, filters) + cursor).toString("base64url");
}

function readCursor(text: string | undefined, filters: Filters): string | undefined {
  if (text === undefined) return undefined;
  const plain = Buffer.from(text, "base64url").toString();
  const cursor = plain.slice(checksumDigits);
  if (plain.slice(0, checksumDigits) !== checksum(cursor, filters)) {
    throw invalid('"cursor" is not one that this listing, with these filters, has returned.');
  }
  return cursor;
}

const checksumDigits = 16;

function checksum(cursor: string, { route, state, keyHash, idPrefix }: Filters): string {
  const text = JSON.stringify([cursor, route ?? null, state ?? null, keyHash ?? null, idPrefix ?? null]);
  return createHash("sha256").update(text).digest("hex").slice(0, checksumDigits);
}
