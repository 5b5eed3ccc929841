import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

/** One entry of a trace that `native/disk.c` wrote, or an acknowledgement (`A`, with its text in place of the path). */
interface Entry {
  readonly kind: string;
  readonly inode: bigint;
  readonly offset: number;
  readonly path: string;
  readonly data: Buffer;
}

const headBytes = 40;
const sectorBytes = 512;

export function readTrace(file: string): Entry[] {
  const bytes = readFileSync(file);
  const entries: Entry[] = [];
  for (let at = 0; at < bytes.length; ) {
    const number = (index: number) => Number(bytes.readBigUInt64LE(at + 8 * index));
    const [pathLength, dataLength] = [number(3), number(4)];
    const pathAt = at + headBytes;
    entries.push({
      kind: String.fromCharCode(bytes[at]!),
      inode: bytes.readBigUInt64LE(at + 8),
      offset: number(2),
      path: bytes.toString("utf8", pathAt, pathAt + pathLength),
      data: bytes.subarray(pathAt + pathLength, pathAt + pathLength + dataLength),
    });
    at = pathAt + pathLength + dataLength;
  }
  return entries;
}

/** What a file holds on the disk, and what was written to it and not flushed. */
interface File {
  disk: Buffer;
  readonly unflushed: Entry[];
}

/**
 * A folder on a disk that keeps what was flushed, and of everything else what chance says: a write whole, not at all, or
 * some of its sectors. Names are on the disk once their folder was flushed, and may be before.
 */
export class LossyDisk {
  readonly #files = new Map<bigint, File>();
  readonly #names = new Map<string, bigint>();
  readonly #unflushedNames: Entry[] = [];
  readonly acknowledged: string[] = [];

  constructor(private readonly random: () => number) {}

  apply(entry: Entry): void {
    if (entry.kind === "A") this.acknowledged.push(entry.path);
    else if (entry.kind === "C" || entry.kind === "U") this.#unflushedNames.push(entry);
    else if (entry.kind === "W" || entry.kind === "T") this.#file(entry.inode).unflushed.push(entry);
    else if (entry.kind === "S") this.#flush(this.#file(entry.inode));
    else if (entry.kind === "D") for (const name of this.#unflushedNames.splice(0)) rename(this.#names, name);
    else if (entry.kind === "F") this.#forget(this.#file(entry.inode));
  }

  /** The folder as a machine finds it that lost its power now. */
  writeTo(folder: string): void {
    mkdirSync(folder);
    const names = new Map(this.#names);
    for (const name of this.#unflushedNames) {
      if (this.random() < 0.5) break;
      rename(names, name);
    }
    for (const [name, inode] of names) {
      // What threads share in memory is made again.
      if (name.endsWith("-shm")) continue;
      const file = this.#file(inode);
      let bytes: Buffer = Buffer.from(file.disk);
      for (const entry of file.unflushed) bytes = this.#perhaps(bytes, entry);
      writeFileSync(join(folder, basename(name)), bytes);
    }
  }

  #file(inode: bigint): File {
    let file = this.#files.get(inode);
    if (file === undefined) {
      file = { disk: Buffer.alloc(0), unflushed: [] };
      this.#files.set(inode, file);
    }
    return file;
  }

  #flush(file: File): void {
    for (const entry of file.unflushed.splice(0)) file.disk = written(file.disk, entry);
  }

  /** After a flush that failed the kernel holds for written what may or may not be. */
  #forget(file: File): void {
    for (const entry of file.unflushed.splice(0)) file.disk = this.#perhaps(file.disk, entry);
  }

  #perhaps(bytes: Buffer, entry: Entry): Buffer {
    const chance = this.random();
    if (chance < 0.4) return written(bytes, entry);
    if (chance < 0.7 || entry.kind === "T") return bytes;
    let result = bytes;
    for (let from = 0; from < entry.data.length; from += sectorBytes) {
      const data = entry.data.subarray(from, from + sectorBytes);
      if (this.random() < 0.5) result = written(result, { ...entry, offset: entry.offset + from, data });
    }
    return result;
  }
}

function rename(names: Map<string, bigint>, { kind, path, inode }: Entry): void {
  if (kind === "C") names.set(path, inode);
  else names.delete(path);
}

/** In place where there is room. */
function written(bytes: Buffer, { kind, offset, data }: Entry): Buffer {
  if (kind === "T" && offset <= bytes.length) return bytes.subarray(0, offset);
  const end = offset + data.length;
  const result = end <= bytes.length ? bytes : Buffer.concat([bytes], end);
  data.copy(result, offset);
  return result;
}
