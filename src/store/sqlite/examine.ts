import { accessSync, constants, existsSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import type { EmbeddedConfig } from "../../config/config.js";
import type { Finding } from "../finding.js";
import { objectionTo } from "./folder.js";

const wantedFreeBytes = 1024 ** 3;

/** Looks at the folder without opening it: a gateway may be at work there. */
export function examineEmbedded({ path }: EmbeddedConfig): Finding[] {
  const folder = existingFolder(path);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch {
    return [{ check: "data folder", state: "unsafe", detail: `${folder} cannot be written by this user` }];
  }
  const objection = objectionTo(folder);
  if (objection !== undefined) return [{ check: "data folder", state: "unsafe", detail: `${folder} ${objection}` }];
  const { bavail, bsize } = statfsSync(folder);
  const freeBytes = bavail * bsize;
  return [
    { check: "data folder", state: "ok", detail: folder === path ? path : `${path} will be made` },
    {
      check: "free disk space",
      state: freeBytes < wantedFreeBytes ? "warning" : "ok",
      detail: `${(freeBytes / 1024 ** 3).toFixed(1)} GiB`,
    },
  ];
}

/** The folder, or the one above it that is there. */
export function existingFolder(path: string): string {
  let folder = path;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}
