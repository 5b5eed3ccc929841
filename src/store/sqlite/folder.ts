import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  statfsSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";

export const databaseFile = "records.sqlite";
const largeBytes = 256 * 1024 * 1024;

/** What a folder of the store before SQLite holds. */
const formerFiles = ["format", "records.mdb"];

/** File systems of other hosts, by `statfs` type (linux/magic.h): their locks and shared memory are not those of one kernel. */
const networkTypes: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x564c, "NCP"],
  [0x5346414f, "AFS"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0x7461636f, "OCFS2"],
  [0x73757245, "Coda"],
]);

/** Makes the folder where it is missing, and says in one sentence why it cannot be used. */
export function prepareFolder(path: string): void {
  try {
    const first = mkdirSync(path, { recursive: true, mode: 0o700 });
    // A folder is only there after a power loss once the folder above it is on the disk.
    if (first !== undefined)
      for (let made = path; made.length >= first.length; made = dirname(made)) syncFolder(dirname(made));
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new Error(`The data folder ${path} cannot be used: ${plain(error as NodeJS.ErrnoException)}.`);
  }
  const objection = objectionTo(path);
  if (objection !== undefined) throw new Error(`The data folder ${path} ${objection}.`);
}

/** Why the records must not lie in this folder, as the end of a sentence. Reads only. */
export function objectionTo(path: string): string | undefined {
  if (!existsSync(join(path, databaseFile)) && formerFiles.some((name) => existsSync(join(path, name)))) {
    return "holds records in the format before SQLite, which this version does not read; it was not touched: name another folder";
  }
  const network = networkTypes.get(statfsSync(path).type >>> 0);
  return (
    network &&
    `is on a network file system (${network}), where SQLite's locks are not safe: name a folder on a disk of this host`
  );
}

/** Whether looking through the file takes more than a second or so. */
export function isLarge(path: string): boolean {
  const { size } = statSync(join(path, databaseFile));
  return size > largeBytes;
}

export function syncFolder(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

const sentences: Readonly<Record<string, string>> = {
  EACCES: "this user may not write there",
  EPERM: "this user may not write there",
  EROFS: "it is on a read-only file system",
  ENOSPC: "the disk is full",
  ENOTDIR: "it is not a folder",
  EEXIST: "it is not a folder",
};

function plain(error: NodeJS.ErrnoException): string {
  return sentences[error.code ?? ""] ?? error.message;
}
