import type { EmbeddedConfig } from "../../config/config.js";
import type { Claim, DoubtCause, Landing, Lease, RecordKey } from "../../model.js";
import { decodeLanding, decodeResponse, encodeLanding, encodeResponse } from "../codec.js";
import type {
  ClaimRequest,
  Completion,
  DoubtCount,
  ListPage,
  ListQuery,
  Origin,
  RecordStore,
  RecordView,
  Resolution,
  Seen,
  Swept,
} from "../record-store.js";
import { ByteBudget } from "./byte-budget.js";
import { checkLargeFile, DatabaseThread, unavailable } from "./database-thread.js";
import {
  type ClaimAnswer,
  type Particulars,
  type Payload,
  type ReaderVerbs,
  shared,
  type WriterVerbs,
} from "./messages.js";
import { Watchers } from "./watchers.js";

/** Large bodies on their way from the reader at one time, bytes. */
const mostFetched = 32 * 1024 * 1024;

export interface EmbeddedHooks {
  /** Something an operator must see, in one sentence. */
  onTrouble(what: string, error?: Error): void;
  /** Two numbers in shared memory, added to the clocks, ms: the first to all, the second to the wall clock. For tests. */
  readonly skewMs?: Float64Array;
  /** In place of what the system calls its start. For tests. */
  readonly boot?: string;
  /** The compiled file of the threads, where it is not beside this file. For tests. */
  readonly thread?: URL;
  /** How often it is looked whether the disk still answers. For tests. */
  readonly tickMs?: number;
}

/** Opens the folder, or throws an `Error` in one plain sentence. */
export async function openEmbeddedStore(config: EmbeddedConfig, hooks: EmbeddedHooks): Promise<EmbeddedStore> {
  const watchers = new Watchers();
  const words = new Int32Array(new SharedArrayBuffer(4 * shared.words));
  let store: EmbeddedStore;
  const threads = {
    path: config.path,
    shared: words,
    skew: hooks.skewMs ?? new Float64Array(new SharedArrayBuffer(16)),
    boot: hooks.boot,
    thread: hooks.thread,
    tickMs: hooks.tickMs,
    onTrouble: hooks.onTrouble,
    onChanged: (keys: readonly string[]) => keys.forEach((key) => void watchers.wake(key)),
    onUnwanted: (verb: string, args: readonly unknown[], answer: unknown) => {
      const [key, token] = args as [RecordKey, string];
      // No caller is left who would send anything for this claim.
      if (verb === "claim" && (answer === "won" || (answer as Claim).kind === "won"))
        store.withdraw({ key, token }).catch(() => {});
    },
  };
  const writer = await DatabaseThread.start("writer", threads);
  const reader = await DatabaseThread.start("reader", threads).catch(async (error) => {
    await writer.close();
    throw error;
  });
  checkLargeFile(threads);
  store = new EmbeddedStore(writer, reader, watchers, words);
  return store;
}

const first: Claim = { kind: "won", attempts: 1, taken: null };

/**
 * The gateway's half of the embedded store: says what is wanted and hears what became of it. Everything is decided in
 * the writer thread, so that a disk that takes its time never holds up the proxy.
 */
export class EmbeddedStore implements RecordStore {
  /** Commands are carried out in their order: a withdrawal never overtakes its claim. */
  readonly withdrawAfterMs = 0;
  readonly #fetched = new ByteBudget(mostFetched);

  constructor(
    private readonly writer: DatabaseThread,
    private readonly reader: DatabaseThread,
    private readonly watchers: Watchers,
    private readonly words: Int32Array,
  ) {}

  /** Bytes that wait to be brought into the file. */
  get walBytes(): number {
    return Atomics.load(this.words, shared.walBytes);
  }

  async claim(request: ClaimRequest): Promise<Claim> {
    const { lease, leaseMs, openRetentionMs, mayTake, after } = request;
    for (;;) {
      const answer = await this.#write(
        "claim",
        lease.key,
        lease.token,
        particularsOf(request),
        leaseMs,
        openRetentionMs,
        mayTake,
        after,
      );
      if (answer === "won") return first;
      if (answer.kind !== "done" && answer.kind !== "landed") return answer;
      const blob = await this.#payload(lease.key, answer.payload);
      // It was changed in between: the question is asked again.
      if (blob !== undefined) return withPayload(answer, blob);
    }
  }

  async extend(lease: Lease, leaseMs: number, openRetentionMs: number): Promise<"kept" | "lost"> {
    return (await this.#write("extend", lease.key, lease.token, leaseMs, openRetentionMs)) ? "kept" : "lost";
  }

  async complete(lease: Lease, completion: Completion, origin: Origin): Promise<"stored" | "lost"> {
    const isWhole = completion.kind === "response";
    const status = isWhole ? completion.response.status : completion.status;
    const response = isWhole
      ? completion.response
      : { status, reason: "", headers: completion.headers, body: Buffer.alloc(0), trailers: [] };
    const payload = own(encodeResponse(response));
    const { key, token } = lease;
    const particulars = particularsOf(origin);
    const isOurs = this.#write("complete", key, token, particulars, isWhole, status, payload, origin.retentionMs);
    return (await this.#waking(key, isOurs)) ? "stored" : "lost";
  }

  async withdraw({ key, token }: Lease): Promise<"withdrawn" | "lost"> {
    return (await this.#waking(key, this.#write("withdraw", key, token))) ? "withdrawn" : "lost";
  }

  async release(
    { key, token }: Lease,
    landed?: { readonly landing: Landing; readonly landingMs: number },
  ): Promise<"released" | "lost"> {
    const payload = landed && own(encodeLanding(landed.landing));
    const isOurs = this.#write("release", key, token, payload, landed?.landingMs ?? 0);
    return (await this.#waking(key, isOurs)) ? "released" : "lost";
  }

  async strand({ key, token }: Lease, cause: DoubtCause, landing: Landing | undefined, origin: Origin) {
    const payload = landing && own(encodeLanding(landing));
    const isOurs = this.#write("strand", key, token, particularsOf(origin), cause, payload, origin.openRetentionMs);
    return (await this.#waking(key, isOurs)) ? "stranded" : "lost";
  }

  async sweep(limit: number): Promise<readonly Swept[]> {
    const swept = await this.#write("sweep", limit);
    for (const { key } of swept) this.watchers.wake(key);
    return swept;
  }

  async peek(key: RecordKey, withResponse: boolean): Promise<RecordView | undefined> {
    const found = await this.#read("peek", key, withResponse);
    if (found?.payload === undefined) return found?.view;
    return { ...found.view, response: decodeResponse(bufferOf(found.payload)) };
  }

  list(query: ListQuery): Promise<ListPage> {
    return this.#read("list", query);
  }

  census(): Promise<readonly DoubtCount[]> {
    return this.#read("census");
  }

  forget(key: RecordKey, seen?: Seen) {
    return this.#waking(key, this.#write("forget", key, seen));
  }

  resolve(key: RecordKey, resolution: Resolution, seen?: Seen) {
    if (resolution.kind === "notDone") return this.#waking(key, this.#write("resolve", key, 0, undefined, 0, seen));
    const { response, retentionMs } = resolution;
    const payload = own(encodeResponse(response));
    return this.#waking(key, this.#write("resolve", key, response.status, payload, retentionMs, seen));
  }

  watch(key: RecordKey, wake: () => void): () => void {
    const stop = this.watchers.add(key, wake);
    if (this.watchers.count(key) === 1) this.#read("watch", key).catch(() => {});
    this.reader.hold(true);
    return () => {
      stop();
      if (this.watchers.count(key) === 0) this.#read("unwatch", key).catch(() => {});
      this.reader.hold(this.watchers.any);
    };
  }

  async ping(): Promise<void> {
    await this.#write("ping");
  }

  async close(): Promise<void> {
    await Promise.all([this.writer.close(), this.reader.close()]);
  }

  #write<V extends keyof WriterVerbs>(
    verb: V,
    ...args: Parameters<WriterVerbs[V]>
  ): Promise<ReturnType<WriterVerbs[V]>> {
    return this.writer.ask(verb, ...args);
  }

  #read<V extends keyof ReaderVerbs>(
    verb: V,
    ...args: Parameters<ReaderVerbs[V]>
  ): Promise<ReturnType<ReaderVerbs[V]>> {
    return this.reader.ask(verb, ...args);
  }

  /** Who watches in this process is woken at once; another process finds out by looking. */
  #waking<T>(key: RecordKey, answer: Promise<T>): Promise<T> {
    if (this.watchers.any) answer.then(() => this.watchers.wake(key)).catch(() => {});
    return answer;
  }

  /** What came along, or is fetched, some of all at a time. `undefined`: the record is another one by now. */
  async #payload(key: RecordKey, payload: Payload): Promise<Buffer | undefined> {
    if (payload instanceof Uint8Array) return bufferOf(payload);
    const { n, updated, size } = payload;
    const giveBack = await this.#fetched.take(size);
    try {
      const bytes = await this.#read("fetch", key, n, updated);
      return bytes && bufferOf(bytes);
    } finally {
      giveBack();
    }
  }
}

function particularsOf({ fingerprint, route, namespace, keyHash }: Origin | ClaimRequest): Particulars {
  return [fingerprint, route, namespace, keyHash];
}

function withPayload(answer: Extract<ClaimAnswer, { payload: Payload }>, blob: Buffer): Claim {
  const { payload: _, ...claim } = answer;
  try {
    if (claim.kind === "landed") return { ...claim, landing: decodeLanding(blob) };
    return { ...claim, response: decodeResponse(blob), blob };
  } catch (error) {
    throw unavailable("claim", false, "its answer cannot be read", error);
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** With memory of its own: a message takes all the memory along that a view is of. */
function own(bytes: Buffer): Uint8Array {
  return bytes.buffer.byteLength === bytes.length ? bytes : Uint8Array.prototype.slice.call(bytes);
}
