import { join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import type { Gate } from "./gate.js";
import type { Place } from "./generation.js";

type Tree = Database<Buffer, Buffer>;

const treeOptions = { encoding: "binary", keyEncoding: "binary" } as const;
const oldestKey = Buffer.from("oldest segment");
const idBytes = 32;
/** Address space, not memory and not disk: the map never has to be moved while another process reads. */
const mapBytes = 2 ** 38;

/**
 * Where records lie for good, in LMDB. Everything in here is read and written inside `locked`: reads outside of a write
 * transaction leave a timer behind each, which a thread that blocks never runs.
 *
 * - `open`: id → record, for records in flight, in doubt or free
 * - `log`: retention, instant, place in the journal → record, for settled ones; the oldest of each retention first
 * - `index`: id → key in `log`
 */
export class Trees {
  readonly #env: RootDatabase<Buffer, Buffer>;
  readonly #about: Tree;
  readonly open: Tree;
  readonly log: Tree;
  readonly index: Tree;
  readonly #id = Buffer.alloc(idBytes);

  constructor(
    folder: string,
    private readonly gate: Gate,
  ) {
    this.#env = open<Buffer, Buffer>({
      path: join(folder, "records.mdb"),
      noSubdir: true,
      permissionsMode: 0o600,
      // In lmdb-js's own mode a commit is seen, and acknowledged, before it is on the disk.
      overlappingSync: false,
      maxDbs: 4,
      mapSize: mapBytes,
      ...treeOptions,
    } as Parameters<typeof open>[0]) as RootDatabase<Buffer, Buffer>;
    const tree = (name: string) => this.#env.openDB<Buffer, Buffer>(name, treeOptions);
    gate.enter();
    [this.#about, this.open, this.log, this.index] = [tree("about"), tree("open"), tree("log"), tree("index")];
    gate.leave();
  }

  /**
   * Carries out `work` while nobody else on this host does, whatever thread or process: LMDB's writer lock is the one
   * lock of the store, and is given back by the kernel when its holder is killed. What `work` put into the trees is
   * committed, and on the disk, when this returns; when it puts nothing, nothing is written.
   */
  locked(work: () => void): void {
    this.gate.enter();
    try {
      this.#transact(work);
    } finally {
      this.gate.leave();
    }
  }

  #transact(work: () => void): void {
    // Braces: a callback that returned the promise of a `put` would be taken for asynchronous, and never commit.
    this.#env.transactionSync(() => {
      // lmdb-js does not look at whether the transaction could be begun. Without one there is no lock.
      if (!(this.#writeTxnId() > 0)) throw new LockFailed("LMDB gave no write transaction");
      work();
    });
  }

  /** The first segment of the journal that is not yet in the trees; `undefined` in a new folder. */
  get oldest(): number | undefined {
    return this.#about.getBinary(oldestKey)?.readDoubleLE(0);
  }

  set oldest(segment: number) {
    const value = Buffer.alloc(8);
    value.writeDoubleLE(segment, 0);
    void this.#about.put(oldestKey, value);
  }

  get(id: string): Buffer | undefined {
    const key = this.#key(id);
    const found = this.open.getBinary(key);
    if (found !== undefined) return asBuffer(found);
    const logKey = this.index.getBinary(key);
    const settled = logKey && this.log.getBinary(logKey);
    return settled && asBuffer(settled);
  }

  fileOpen(id: string, record: Buffer): void {
    void this.index.remove(this.#key(id));
    void this.open.put(this.#key(id), record);
  }

  fileGone(id: string): void {
    void this.index.remove(this.#key(id));
    void this.open.remove(this.#key(id));
  }

  /** Where an older record of this id was settled before, it stays in the log until its time, found by nobody. */
  fileSettled(id: string, logKey: Buffer): void {
    void this.open.remove(this.#key(id));
    void this.index.put(this.#key(id), logKey);
  }

  /** Room inside the file that new records can have. Within `locked`. */
  freeBytes(): number {
    const about = this.#env.getStats() as unknown as Stats & { lastPageNumber: number; pageSize: number; free: Stats };
    let usedPages = pagesOf(about) + pagesOf(about.free);
    for (const tree of [this.#about, this.open, this.log, this.index]) {
      usedPages += pagesOf(tree.getStats() as unknown as Stats);
    }
    return Math.max(0, about.lastPageNumber - usedPages) * about.pageSize;
  }

  close(): Promise<void> {
    return this.#env.close();
  }

  #key(id: string): Buffer {
    this.#id.write(id, "latin1");
    return this.#id;
  }

  #writeTxnId(): number {
    return (this.#env as unknown as { getWriteTxnId(): number }).getWriteTxnId();
  }
}

/** The lock cannot be had any more in this process: LMDB gave up after a failed write. */
export class LockFailed extends Error {
  override readonly name = "LockFailed";
}

/** The same record gets the same key, whoever files it and however often. */
export function logKeyOf(segment: number, place: Place): Buffer {
  const key = Buffer.allocUnsafe(20);
  key.writeUIntBE(Math.round(place.expiresAtMs - place.settledAtMs), 0, 6);
  key.writeUIntBE(Math.round(place.settledAtMs), 6, 6);
  key.writeUInt32BE(segment, 12);
  key.writeUInt32BE(place.from, 16);
  return key;
}

export function retentionMsOf(logKey: Buffer): number {
  return logKey.readUIntBE(0, 6);
}

export function settledAtMsOf(logKey: Buffer): number {
  return logKey.readUIntBE(6, 6);
}

export function expiresAtMsOf(logKey: Buffer): number {
  return retentionMsOf(logKey) + settledAtMsOf(logKey);
}

/** lmdb-js gives plain `Uint8Array`s, or what looks like a `Buffer`, in turns. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Where the log's records of this retention begin, or those of them settled at this instant. */
export function beginOf(retentionMs: number, settledAtMs = 0): Buffer {
  const key = Buffer.alloc(12);
  key.writeUIntBE(retentionMs, 0, 6);
  key.writeUIntBE(Math.min(settledAtMs, 2 ** 48 - 1), 6, 6);
  return key;
}

/** The least key that is greater. */
export function after(key: Uint8Array): Buffer {
  return Buffer.concat([key, Buffer.of(0)]);
}

interface Stats {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

function pagesOf(stats: Stats): number {
  return stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
}
