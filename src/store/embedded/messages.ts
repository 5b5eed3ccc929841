import type { DoubtCount, ListQuery } from "../record-store.js";

/** What the writer thread is started with. */
export interface WriterStart {
  readonly path: string;
  readonly segmentBytes: number;
  readonly commands: SharedArrayBuffer;
  readonly answers: SharedArrayBuffer;
  readonly skewMs: Float64Array;
  /** The words of a `Gate`. */
  readonly gate: Int32Array;
  /** One word: 1 while somebody in this process watches a record. */
  readonly watching: Int32Array;
}

/**
 * What the writer thread posts: a number, when that many bytes of answers lie in the ring; the bytes themselves, when
 * the ring has no room for them; or one of these.
 */
export type Notice =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly why: string }
  | { readonly kind: "trouble"; readonly what: string; readonly error?: Error }
  /** Records that another process wrote, 32 bytes each. */
  | { readonly kind: "changed"; readonly ids: Uint8Array }
  | { readonly kind: "page"; readonly job: number; readonly heads: Uint8Array[]; readonly cursor: string | null }
  | { readonly kind: "counted"; readonly job: number; readonly counts: DoubtCount[] }
  | { readonly kind: "noPage"; readonly job: number; readonly why: string };

/** Without a query: a census. */
export interface ListJob {
  readonly job: number;
  readonly query?: ListQuery;
}
