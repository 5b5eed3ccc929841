import type { EmbeddedConfig } from "../../config/config.js";
import type { Claim, DoubtCause, Landing, Lease, RecordKey } from "../../model.js";
import { encodeLanding, encodeResponse } from "../codec.js";
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
} from "../record-store.js";
import { type AnswerReader, kind, readClaim } from "./answer.js";
import { isNotReplayable, mayTake } from "./command.js";
import { causes, viewOf } from "./record.js";
import { Watchers } from "./watchers.js";
import { WriterThread } from "./writer-thread.js";

export interface EmbeddedHooks {
  /** Something an operator must see, in one sentence. */
  onTrouble(what: string, error?: Error): void;
  /** Moves the clock: this many ms are added to the host's. One number, in shared memory. For tests. */
  readonly skewMs?: Float64Array;
  /** The compiled writer thread, where it is not beside this file. For tests. */
  readonly writer?: URL;
  /** How long a segment of the journal is. For tests: a short one is filed all the time. */
  readonly segmentBytes?: number;
  /** How often it is looked whether the disk still answers. For tests. */
  readonly tickMs?: number;
}

/** Opens the folder, or throws an `Error` in one plain sentence. */
export async function openEmbeddedStore(config: EmbeddedConfig, hooks: EmbeddedHooks): Promise<RecordStore> {
  const skewMs = hooks.skewMs ?? new Float64Array(new SharedArrayBuffer(8));
  const watchers = new Watchers();
  const thread = await WriterThread.start(config.path, {
    skewMs,
    writer: hooks.writer,
    segmentBytes: hooks.segmentBytes,
    tickMs: hooks.tickMs,
    onTrouble: hooks.onTrouble,
    onChanged: (ids) => watchers.wakeAll(ids),
  });
  return new EmbeddedStore(thread, watchers, skewMs);
}

/** For verbs without a lease. */
const noToken = "00".repeat(16);

/**
 * The gateway's half of the embedded store: says what is wanted and hears what became of it. Everything is decided in
 * the writer thread (`writer.ts`), so that a disk that takes its time never holds up the proxy.
 */
class EmbeddedStore implements RecordStore {
  /** Commands are carried out in their order: a withdrawal never overtakes its claim. */
  readonly withdrawAfterMs = 0;

  constructor(
    private readonly thread: WriterThread,
    private readonly watchers: Watchers,
    private readonly skewMs: Float64Array,
  ) {}

  claim(request: ClaimRequest): Promise<Claim> {
    const { lease, leaseMs, retentionMs, after } = request;
    const flags = request.mayTake ? mayTake : 0;
    return this.thread.ask(
      { verb: "claim", lease, flags, spanMs: leaseMs, retentionMs, after, particulars: request },
      readClaim,
    );
  }

  extend(lease: Lease, leaseMs: number, retentionMs: number): Promise<"kept" | "lost"> {
    return this.thread.ask({ verb: "extend", lease, spanMs: leaseMs, retentionMs }, yesOrNo("kept", "lost"));
  }

  complete(lease: Lease, completion: Completion, origin: Origin): Promise<"stored" | "lost"> {
    const { retentionMs } = origin;
    const isWhole = completion.kind === "response";
    const status = isWhole ? completion.response.status : completion.status;
    const flags = isWhole ? 0 : isNotReplayable;
    const payload = isWhole ? encodeResponse(completion.response) : headOnly(completion.status, completion.headers);
    return this.#write(
      lease.key,
      this.thread.ask(
        { verb: "complete", lease, flags, detail: status, retentionMs, particulars: origin, payload },
        yesOrNo("stored", "lost"),
      ),
    );
  }

  withdraw(lease: Lease): Promise<"withdrawn" | "lost"> {
    return this.#write(lease.key, this.thread.ask({ verb: "withdraw", lease }, yesOrNo("withdrawn", "lost")));
  }

  release(
    lease: Lease,
    landed?: { readonly landing: Landing; readonly landingMs: number },
  ): Promise<"released" | "lost"> {
    const spanMs = landed?.landingMs ?? 0;
    const payload = landed && encodeLanding(landed.landing);
    return this.#write(
      lease.key,
      this.thread.ask({ verb: "release", lease, spanMs, payload }, yesOrNo("released", "lost")),
    );
  }

  strand(
    lease: Lease,
    cause: DoubtCause,
    landing: Landing | undefined,
    retentionMs: number,
  ): Promise<"stranded" | "lost"> {
    const detail = causes.indexOf(cause);
    const payload = landing && encodeLanding(landing);
    return this.#write(
      lease.key,
      this.thread.ask({ verb: "strand", lease, detail, retentionMs, payload }, yesOrNo("stranded", "lost")),
    );
  }

  peek(key: RecordKey, withResponse: boolean): Promise<RecordView | undefined> {
    return this.thread.ask({ verb: "peek", lease: { key, token: noToken } }, (answer, from) =>
      answer === kind.record ? viewOf(from.blob(), this.#nowMs(), withResponse) : undefined,
    );
  }

  list(query: ListQuery): Promise<ListPage> {
    return this.thread.list(query, (head) => viewOf(head, this.#nowMs(), false));
  }

  census(): Promise<readonly DoubtCount[]> {
    return this.thread.census();
  }

  forget(key: RecordKey, seen?: Seen) {
    return this.#write(
      key,
      this.thread.ask({ verb: "forget", lease: { key, token: noToken }, seen }, decision("forgotten", "inFlight")),
    );
  }

  resolve(key: RecordKey, resolution: Resolution, seen?: Seen) {
    const isDone = resolution.kind === "done";
    const done = isDone
      ? {
          detail: resolution.response.status,
          retentionMs: resolution.retentionMs,
          payload: encodeResponse(resolution.response),
        }
      : {};
    return this.#write(
      key,
      this.thread.ask(
        { verb: "resolve", lease: { key, token: noToken }, seen, ...done },
        decision("resolved", "notInDoubt"),
      ),
    );
  }

  watch(key: RecordKey, wake: () => void): () => void {
    const stop = this.watchers.add(key, wake);
    this.thread.setWatching(this.watchers.any);
    return () => {
      stop();
      this.thread.setWatching(this.watchers.any);
    };
  }

  ping(): Promise<void> {
    return this.thread.ask({ verb: "ping", lease: { key: "00".repeat(32) as RecordKey, token: noToken } }, () => {});
  }

  close(): Promise<void> {
    return this.thread.close();
  }

  /** Whoever watches in this process hears of it at once; another process finds it in the journal. */
  #write<T>(key: RecordKey, answer: Promise<T>): Promise<T> {
    if (this.watchers.any) answer.then(() => this.watchers.wake(key)).catch(() => {});
    return answer;
  }

  #nowMs(): number {
    return Date.now() + this.skewMs[0]!;
  }
}

type Reader<T> = (answer: number, from: AnswerReader) => T;

const words = new Map<string, Reader<unknown>>();

/** One reader for each pair of words, not one for each call. */
function yesOrNo<Yes extends string, No extends string>(yes: Yes, no: No): Reader<Yes | No> {
  let reader = words.get(yes);
  if (reader === undefined) {
    reader = (answer) => (answer === kind.yes ? yes : no);
    words.set(yes, reader);
  }
  return reader as Reader<Yes | No>;
}

function decision<Done extends string, Refused extends string>(done: Done, refused: Refused) {
  return (answer: number): Done | Refused | "absent" | "moved" => {
    if (answer === kind.yes) return done;
    if (answer === kind.moved) return "moved";
    return answer === kind.refused ? refused : "absent";
  };
}

function headOnly(status: number, headers: readonly string[]): Buffer {
  return encodeResponse({ status, reason: "", headers, body: Buffer.alloc(0), trailers: [] });
}
