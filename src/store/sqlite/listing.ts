import type { DoubtCause, Fingerprint, KeyHash, RecordKey, RecordState } from "../../model.js";
import type { DoubtCount, ListPage, ListQuery, RecordView } from "../record-store.js";
import type { Database } from "./library.js";
import { state, stateNames } from "./messages.js";

/** Rows that are looked at in one go: a longer read would keep the WAL from being shortened. */
const chunkRows = 4096;
/** Counted at most, in each of the two states. */
const mostCounted = 50_000;

const columns = `n, lower(hex(id)) AS key, route, namespace, lower(hex(key_hash)) AS keyHash, state,
  lower(hex(fingerprint)) AS fingerprint, attempts, status, cause, created, updated, due, coalesce(expires, due) AS expires`;

interface ListedRow {
  readonly n: number;
  readonly key: RecordKey;
  readonly route: string;
  readonly namespace: string;
  readonly keyHash: KeyHash;
  readonly state: number;
  readonly fingerprint: Fingerprint;
  readonly attempts: number;
  readonly status: number | null;
  readonly cause: DoubtCause | null;
  readonly created: number;
  readonly updated: number;
  readonly due: number;
  readonly expires: number;
}

/** What people ask of the records, as indexes answer it. Reads only. */
export class Listing {
  readonly #sql;

  constructor(db: Database) {
    const wanted = "(? IS NULL OR route = ?) AND (? IS NULL OR key_hash = unhex(?))";
    this.#sql = {
      /** id → the record, or no row. */
      one: db.prepare(`SELECT ${columns} FROM record WHERE id = unhex(?)`),
      /** n → where the rows begin that are to be looked at before it, or no row. */
      chunk: db.prepare(
        `SELECT min(n) AS from_ FROM (SELECT n FROM record WHERE n < ? ORDER BY n DESC LIMIT ${chunkRows})`,
      ),
      /** from, before, filters, limit → rows in between, newest first. */
      between: db.prepare(
        `SELECT ${columns} FROM record WHERE n >= ? AND n < ? AND ${wanted} AND state <> 3 ORDER BY n DESC`,
      ),
      /** state, before, filters → rows of that state, newest first, found by the index on it. */
      ofState: db.prepare(
        `SELECT ${columns} FROM record INDEXED BY record_due WHERE state IN (?, ?) AND n < ? AND ${wanted} ORDER BY n DESC`,
      ),
      /** first and last id, before, filters → rows whose id lies between, newest first. */
      ofIds: db.prepare(
        `SELECT ${columns} FROM record INDEXED BY record_id
         WHERE id BETWEEN unhex(?) AND unhex(?) AND n < ? AND ${wanted} AND state <> 3 ORDER BY n DESC`,
      ),
      /** now, now → by route what is in doubt: how many, created first, forgotten first. */
      census: db.prepare(
        `SELECT route, count(*) AS records, min(created) AS oldest, min(ends) AS soonest FROM (
           SELECT * FROM (SELECT route, created, due AS ends FROM record WHERE state = 2 AND due > ? LIMIT ${mostCounted})
           UNION ALL
           SELECT * FROM (SELECT route, created, expires AS ends FROM record WHERE state = 1 AND due <= ? AND expires > ?
             LIMIT ${mostCounted})
         ) GROUP BY route`,
      ),
    };
  }

  peek(key: string, nowMs: number): (RecordView & { readonly n: number }) | undefined {
    const row = this.#sql.one.get(key) as ListedRow | undefined;
    const view = row && viewOf(row, nowMs);
    return view && { ...view, n: row.n };
  }

  list(query: ListQuery, nowMs: number): ListPage {
    const found: ListedRow[] = [];
    for (const row of this.#candidates(query)) {
      const view = viewOf(row, nowMs);
      if (view === undefined || (query.state !== undefined && view.state !== query.state)) continue;
      if (query.idPrefix !== undefined && !view.key.startsWith(query.idPrefix)) continue;
      found.push(row);
      if (found.length > query.limit) break;
    }
    const records = found.slice(0, query.limit);
    const cursor = found.length > query.limit ? String(records.at(-1)!.n) : null;
    return { records: records.map((row) => viewOf(row, nowMs)!), cursor };
  }

  census(nowMs: number): DoubtCount[] {
    const rows = this.#sql.census.all(nowMs, nowMs, nowMs) as unknown as {
      route: string;
      records: number;
      oldest: number;
      soonest: number;
    }[];
    return rows.map(({ route, records, oldest, soonest }) => ({
      route,
      records,
      oldestAgeMs: Math.max(0, nowMs - oldest),
      soonestExpiryMs: Math.max(0, soonest - nowMs),
    }));
  }

  /** More than are wanted, newest first. */
  *#candidates({ state: wanted, route, keyHash, idPrefix, cursor }: ListQuery): Iterable<ListedRow> {
    let before = cursor === undefined ? Number.MAX_SAFE_INTEGER : Number(cursor);
    const filters = [route ?? null, route ?? null, keyHash ?? null, keyHash ?? null] as const;
    if (idPrefix) {
      const [first, last] = [idPrefix.padEnd(64, "0"), idPrefix.padEnd(64, "f")];
      yield* this.#sql.ofIds.iterate(first, last, before, ...filters) as Iterable<ListedRow>;
    } else if (wanted !== undefined && wanted !== "completed") {
      const codes = {
        in_flight: [state.inFlight, state.inFlight],
        in_doubt: [state.inFlight, state.inDoubt],
        not_replayable: [state.notReplayable, state.notReplayable],
      }[wanted as Exclude<RecordState, "completed">];
      yield* this.#sql.ofState.iterate(...codes, before, ...filters) as Iterable<ListedRow>;
    } else {
      for (;;) {
        const { from_: from } = this.#sql.chunk.get(before) as { from_: number | null };
        if (from === null) return;
        // Read whole: the next chunk is another look at the file.
        yield* this.#sql.between.all(from, before, ...filters) as unknown as ListedRow[];
        before = from;
      }
    }
  }
}

/** As an operator sees it; `undefined` where it is released or over. */
function viewOf(row: ListedRow, nowMs: number): RecordView | undefined {
  const { n, state: code, created, updated, due, expires, ...rest } = row;
  if (code === state.released || expires <= nowMs) return undefined;
  const isOver = code === state.inFlight && due <= nowMs;
  return {
    ...rest,
    state: isOver ? "in_doubt" : stateNames[code]!,
    status: code >= state.completed ? rest.status : null,
    cause: isOver ? "lease_expired" : rest.cause,
    createdAtMs: created,
    updatedAtMs: isOver ? due : updated,
    expiresAtMs: expires,
  };
}
