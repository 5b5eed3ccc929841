import { closeSync, fsyncSync, openSync, readdirSync, renameSync, unlinkSync } from "node:fs";
import { basename, join } from "node:path";

export function segmentFile(folder: string, segment: number): string {
  return join(folder, `journal-${String(segment).padStart(10, "0")}`);
}

function spareFile(folder: string): string {
  return join(folder, "journal-spare");
}

/** The file serves again as the next segment but one. */
export function retireSegment(folder: string, number: number): void {
  unlessAbsent(() => renameSync(segmentFile(folder, number), spareFile(folder)));
}

/** The file of a new segment: the one that was given back last, if there is one, for it has its size already. */
export function reuseSpare(folder: string, number: number): void {
  unlessAbsent(() => renameSync(spareFile(folder), segmentFile(folder, number)));
}

/** Segments that were filed and not given back. */
export function removeSegmentsBefore(folder: string, number: number): void {
  const first = basename(segmentFile(folder, number));
  for (const name of readdirSync(folder)) {
    if (/^journal-\d+$/.test(name) && name < first) unlessAbsent(() => unlinkSync(join(folder, name)));
  }
}

export function openIfThere(file: string): number | undefined {
  return unlessAbsent(() => openSync(file, "r+"));
}

function unlessAbsent<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** A file's name is on the disk only once its folder is. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
