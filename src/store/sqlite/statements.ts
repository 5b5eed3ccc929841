import type { Database } from "./library.js";

/*
 * What the verbs say to SQLite. Ids, tokens and hashes come and go as hexadecimal text and lie as bytes. Instants are
 * ms by the store's clock. Each runs inside the writer's transaction, and says in `changes` how many records it met.
 */
const texts = {
  /** Claims a key of which there is no record: in flight, first attempt. `changes` 0: there is one, untouched. */
  insert: `
    INSERT INTO record (id, state, token, fingerprint, attempts, created, updated, due, expires, route, namespace, key_hash)
    VALUES (unhex(?), 1, unhex(?), unhex(?), 1, ?, ?, ?, ?, ?, ?, unhex(?))
    ON CONFLICT (id) DO NOTHING`,
  /** id → what the verbs decide by, or no row. The payload is left where it is. */
  find: `
    SELECT n, state, lower(hex(token)) AS token, lower(hex(fingerprint)) AS fingerprint, attempts, updated, due,
           coalesce(expires, due) AS expires, cause, cause_before AS causeBefore, status, length(payload) AS size
    FROM record WHERE id = unhex(?)`,
  /** n → the payload and its checksum. */
  payload: "SELECT payload, checksum FROM record WHERE n = ?",
  /** n of a released record → in flight for this caller, and the newest; what was counted is counted on. */
  retake: `
    UPDATE record SET n = (SELECT max(n) + 1 FROM record), state = 1, token = unhex(?), fingerprint = unhex(?),
           attempts = attempts + 1, created = ?, updated = ?, due = ?, expires = ?, route = ?, namespace = ?,
           key_hash = unhex(?), status = NULL, payload = NULL, checksum = NULL
    WHERE n = ?`,
  /** n in doubt → in flight for this caller. The doubt is kept beside, its token only where it was not itself a taker's. */
  takeOver: `
    UPDATE record SET token_before = iif(cause_before IS NULL, token, NULL), cause_before = cause, cause = NULL, state = 1,
           token = unhex(?), attempts = attempts + 1, updated = ?, due = ?, expires = max(due, ?), route = ?,
           namespace = ?, key_hash = unhex(?)
    WHERE n = ?`,
  /** id, token, now, in flight and its lease not over → the lease ends then. Never held for less time than before. */
  extend: `
    UPDATE record SET due = ?, expires = max(expires, ?)
    WHERE id = unhex(?) AND token = unhex(?) AND state = 1 AND due > ?`,
  /** n in flight → in doubt since its lease ended. */
  expire: `
    UPDATE record SET state = 2, cause = 'lease_expired', updated = due, due = expires, expires = NULL, payload = NULL,
           checksum = NULL
    WHERE n = ?`,
  /** Up to so many whose lease is over, and who are still held → in doubt, as `expire` says. Returns their key and route. */
  sweep: `
    UPDATE record SET state = 2, cause = 'lease_expired', updated = due, due = expires, expires = NULL, payload = NULL,
           checksum = NULL
    WHERE n IN (SELECT n FROM record WHERE state = 1 AND due <= ? AND expires > ? ORDER BY due LIMIT ?)
    RETURNING lower(hex(id)) AS key, route`,
  /** id and token, open and still held → completed or not replayable. */
  complete: `
    UPDATE record SET state = ?, status = ?, payload = ?, checksum = ?, updated = ?, due = ?, expires = NULL,
           cause = NULL, cause_before = NULL, token_before = NULL
    WHERE id = unhex(?) AND token = unhex(?) AND state <= 2 AND coalesce(expires, due) > ?`,
  /** A record that is gone, written again in any state that has an end. */
  restore: `
    INSERT INTO record (state, status, payload, checksum, updated, due, cause, id, token, fingerprint, attempts, created,
           route, namespace, key_hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, unhex(?), unhex(?), unhex(?), 1, ?, ?, ?, unhex(?))`,
  /** n → in doubt again, as it was before it was taken over. */
  putBack: `
    UPDATE record SET state = 2, cause = cause_before, cause_before = NULL, token = token_before, token_before = NULL,
           updated = ?, due = coalesce(expires, due), expires = NULL
    WHERE n = ?`,
  /** n → released until `due`. */
  release: `
    UPDATE record SET state = 3, payload = ?, checksum = ?, due = ?, expires = NULL, cause = NULL, cause_before = NULL,
           token_before = NULL
    WHERE n = ?`,
  /** n → in doubt. */
  strand: `
    UPDATE record SET state = 2, cause = ?, payload = ?, checksum = ?, updated = ?, due = ?, expires = NULL WHERE n = ?`,
  /** n → released, and no lease fits any more: a late owner is answered so for as long as the record would have stayed. */
  void: `
    UPDATE record SET state = 3, token = NULL, payload = NULL, checksum = NULL, due = coalesce(expires, due),
           expires = NULL, cause = NULL, cause_before = NULL, token_before = NULL
    WHERE n = ?`,
  /** n → completed by an operator; no lease fits any more. */
  settle: `
    UPDATE record SET state = 4, token = NULL, status = ?, payload = ?, checksum = ?, updated = ?, due = ?, expires = NULL,
           cause = NULL, cause_before = NULL, token_before = NULL
    WHERE n = ?`,
  remove: "DELETE FROM record WHERE n = ?",
  /** Up to so many records in a state that are over → gone. In flight it is not the lease that counts. */
  forget: `
    DELETE FROM record WHERE n IN
      (SELECT n FROM record WHERE state = ? AND due <= ? AND coalesce(expires, due) <= ? LIMIT ?)`,
} as const;

type Statement = ReturnType<Database["prepare"]>;
export type Statements = Readonly<Record<keyof typeof texts, Statement>>;

export function prepareStatements(db: Database): Statements {
  const prepared = Object.entries(texts).map(([name, text]) => [name, db.prepare(text)]);
  return Object.fromEntries(prepared) as Statements;
}
