import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { databaseFile } from "./folder.js";
import { pause } from "./pause.js";

/*
 * SQLite takes the first frame of its WAL whose checksum is wrong for the end of it, and writes over what follows: right
 * where a commit was torn, wrong where the disk spoiled a frame in the middle. Commits are flushed one by one, so of
 * what comes after a torn frame at most one is a commit's last. Anything beyond is an acknowledged commit, and damage.
 *
 * The format: https://www.sqlite.org/fileformat2.html#walformat
 */

const headerBytes = 32;
const frameHeaderBytes = 24;
const bigEndianMagic = 0x377f0683;
const littleEndianMagic = 0x377f0682;
/** Another process may be writing: what looks damaged is looked at again. */
const looks = 3;
const checkAgainMs = 30;

/** Throws one sentence where acknowledged commits lie behind a damaged frame. Reads only. */
export function refuseDamagedWal(folder: string): void {
  for (let look = 1; ; look++) {
    const place = damagedFrame(join(folder, `${databaseFile}-wal`));
    if (place === undefined) return;
    if (look === looks) {
      throw new Error(
        `The data folder ${folder} is damaged: ${databaseFile}-wal at byte ${place}, with commits behind it. Nothing was changed; see docs/embedded-store.md.`,
      );
    }
    pause(checkAgainMs);
  }
}

/** Where the first damaged frame lies behind which there are commits, or `undefined`. */
export function damagedFrame(file: string): number | undefined {
  const fd = openIfThere(file);
  if (fd === undefined) return undefined;
  try {
    return scan(fd, fstatSync(fd).size);
  } finally {
    closeSync(fd);
  }
}

function scan(fd: number, size: number): number | undefined {
  const header = Buffer.alloc(headerBytes);
  if (size <= headerBytes || readSync(fd, header, 0, headerBytes, 0) < headerBytes) return undefined;
  const magic = header.readUInt32BE(0);
  const isBigEndian = magic === bigEndianMagic;
  const begun = sumOf(header, 0, 24, [0, 0], isBigEndian);
  const isHeader = (isBigEndian || magic === littleEndianMagic) && isEqual(begun, header, 24);
  // A header lies in one sector: it is not torn. One of zeros was made and never written.
  if (!isHeader) return header.every((byte) => byte === 0) ? undefined : 0;
  const pageBytes = header.readUInt32BE(8);
  const frame = Buffer.alloc(frameHeaderBytes + pageBytes);
  let sum: Sum = begun;
  let damagedAt: number | undefined;
  let commits = 0;
  for (let at = headerBytes; at + frame.length <= size; at += frame.length) {
    if (readSync(fd, frame, 0, frame.length, at) < frame.length) break;
    const isOfThisWal = frame.compare(header, 16, 24, 8, 16) === 0;
    const next = sumOf(frame, frameHeaderBytes, frame.length, sumOf(frame, 0, 8, sum, isBigEndian), isBigEndian);
    const isWhole = isOfThisWal && isEqual(next, frame, 16);
    const isCommit = frame.readUInt32BE(4) > 0;
    if (damagedAt === undefined && !isWhole) {
      damagedAt = at;
      if (isOfThisWal && isCommit) commits++;
    } else if (damagedAt !== undefined && isWhole) {
      // A sound frame behind a commit's last, which cannot have been written before that commit was flushed.
      if (commits > 0) return damagedAt;
      if (isCommit) commits++;
    }
    sum = [frame.readUInt32BE(16), frame.readUInt32BE(20)];
  }
  return undefined;
}

type Sum = readonly [number, number];

/** The sums of 32-bit words in pairs, going on from `sum`. */
function sumOf(bytes: Buffer, from: number, to: number, sum: Sum, isBigEndian: boolean): Sum {
  let [first, second] = sum;
  for (let at = from; at < to; at += 8) {
    first = (first + (isBigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) + second) >>> 0;
    second = (second + (isBigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4)) + first) >>> 0;
  }
  return [first, second];
}

function isEqual([first, second]: Sum, bytes: Buffer, at: number): boolean {
  return bytes.readUInt32BE(at) === first && bytes.readUInt32BE(at + 4) === second;
}

function openIfThere(file: string): number | undefined {
  try {
    return openSync(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
