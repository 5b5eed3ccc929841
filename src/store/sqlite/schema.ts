/*
 * The one table of records. `docs/embedded-store.md` says how to read it by hand.
 *
 * Effect: makes the tables of an empty database. Input: none. Returns nothing.
 *
 * n            by age of the record's first claim: what comes later lies at the end
 * id           SHA-256 that the record is found by, 32 bytes
 * state        1 in flight, 2 in doubt, 3 released, 4 completed, 5 not replayable
 * token        the owner's, 16 bytes; NULL: no lease fits any more
 * fingerprint, key_hash   SHA-256, 32 bytes each
 * created, updated, due, expires   ms by the store's clock (`store-clock.ts`)
 * due          in flight: when the lease ends; else: when the record is forgotten
 * expires      in flight: when the record is forgotten, whatever becomes of its lease; else NULL
 * cause        why it is in doubt
 * cause_before, token_before   of the doubt that was taken over: what a withdrawal puts back
 * payload      completed: the response (`store/codec.ts`); released and in doubt: how the flight landed
 * checksum     CRC-32 of the payload
 */
export const format = 1;
/** "IdGW": tells the file from other programs' (PRAGMA application_id). */
export const applicationId = 0x49644757;

export const schemaText = `
CREATE TABLE record (
  n INTEGER PRIMARY KEY,
  id BLOB NOT NULL,
  state INTEGER NOT NULL,
  token BLOB,
  fingerprint BLOB NOT NULL,
  attempts INTEGER NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  due INTEGER NOT NULL,
  expires INTEGER,
  cause TEXT,
  cause_before TEXT,
  token_before BLOB,
  status INTEGER,
  route TEXT NOT NULL,
  namespace TEXT NOT NULL,
  key_hash BLOB NOT NULL,
  checksum INTEGER,
  payload BLOB
) STRICT;
CREATE UNIQUE INDEX record_id ON record (id);
CREATE INDEX record_due ON record (state, due);
CREATE TABLE clock (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  boot TEXT NOT NULL,
  ahead INTEGER NOT NULL,
  seen INTEGER NOT NULL,
  checked INTEGER NOT NULL
) STRICT;
PRAGMA application_id = ${applicationId};
PRAGMA user_version = ${format};
`;
