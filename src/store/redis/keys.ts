import type { RecordKey } from "../../model.js";

/** The two hexadecimal digits that all keys of one Redis slot share: 256 tags spread over a cluster's nodes. */
export const tags: readonly string[] = Array.from({ length: 256 }, (_, index) => index.toString(16).padStart(2, "0"));

/** Lifts the scores of doubts above those of leases: no clock shows so many ms. The scripts have it as 1e15. */
export const doubtScore = 1e15;

/**
 * Names of keys. The record and the index of its open neighbours share a hash tag, so one script may write both, also
 * in a cluster. Nothing but the configured prefix and the record's id, a hash, is in a name.
 */
export class KeyNames {
  constructor(private readonly prefix: string) {
    // A brace of the prefix would be taken for the hash tag, and tear record and index apart.
    if (/[{}]/.test(prefix)) throw new Error("store.keyPrefix must not contain { or }");
  }

  /** The record, and the channel that tells of its changes. */
  record(key: RecordKey): string {
    return `${this.prefix}{${key.slice(0, 2)}}:${key}`;
  }

  /**
   * What is open: members `created:id`. What is in flight is scored by when its lease ends, ms, and what is in doubt by
   * when it is forgotten, ms, plus `doubtScore`: so what has run out, and what is forgotten first, stand together.
   */
  open(tag: string): string {
    return `${this.prefix}{${tag}}:open`;
  }

  /** What is written after a claim, so that replicas which have it have the claim too. Nobody reads it. */
  mark(record: string): string {
    return `${record.slice(0, -64)}wait`;
  }

  /** A glob for the records whose ids begin with these digits. */
  pattern(idPrefix: string): string {
    const escaped = this.prefix.replace(/[*?[\]\\]/g, "\\$&");
    return idPrefix.length < 2 ? `${escaped}{*}:${idPrefix}*` : `${escaped}{${idPrefix.slice(0, 2)}}:${idPrefix}*`;
  }

  idOf(record: string): RecordKey {
    return record.slice(-64) as RecordKey;
  }
}
