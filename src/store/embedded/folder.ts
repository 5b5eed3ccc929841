import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { syncFolder } from "./segment-files.js";

const formatFile = "format";
const format = 1;
const formatLine = /^idempotency-gateway records, format (\d+)\n$/;

/** Makes the folder if it is not there, and makes sure that this program may use it. Throws one plain sentence. */
export function prepareFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new Error(`The data folder ${path} cannot be used: ${plain(error as NodeJS.ErrnoException)}.`);
  }
  const file = join(path, formatFile);
  try {
    if (!existsSync(file) && !existsSync(join(path, "records.mdb"))) writeFormat(path, file);
    checkFormat(path, readFileSync(file, "utf8"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new Error(`The data folder ${path} cannot be used: ${plain(error as NodeJS.ErrnoException)}.`);
  }
}

/** Under its name only when it is whole: several processes may begin at once. */
function writeFormat(path: string, file: string): void {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `idempotency-gateway records, format ${format}\n`, { mode: 0o600 });
  renameSync(draft, file);
  syncFolder(path);
}

function checkFormat(path: string, text: string): void {
  const found = Number(formatLine.exec(text)?.[1]);
  if (found === format) return;
  if (found > format) {
    throw new Error(
      `The data folder ${path} was written by a newer version (format ${found}, this one knows ${format}).`,
    );
  }
  throw new Error(`The data folder ${path} is not one of this program: its file "${formatFile}" says something else.`);
}

const sentences: Readonly<Record<string, string>> = {
  EACCES: "this user may not write there",
  EPERM: "this user may not write there",
  EROFS: "it is on a read-only file system",
  ENOSPC: "the disk is full",
  ENOTDIR: "it is not a folder",
  EEXIST: "it is not a folder",
  ENOENT: "its files are not those of this program",
};

function plain(error: NodeJS.ErrnoException): string {
  return sentences[error.code ?? ""] ?? error.message;
}
