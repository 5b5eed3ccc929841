import type { StoreConfig } from "../config/config.js";
import type { Finding } from "./finding.js";
import { examineRedis } from "./redis/examine.js";
import { examineEmbedded, existingFolder } from "./sqlite/examine.js";
import { objectionTo } from "./sqlite/folder.js";

/** What an operator should know about the configured store before money depends on it. Changes nothing. */
export async function examineStore(config: StoreConfig): Promise<Finding[]> {
  return config.type === "redis" ? examineRedis(config) : examineEmbedded(config);
}

/** Why the configured store must not be used at all, as far as that is seen without asking it. One sentence. */
export function objectionToStore(config: StoreConfig): string | undefined {
  if (config.type === "redis") return undefined;
  const objection = objectionTo(existingFolder(config.path));
  return objection && `the data folder ${config.path} ${objection}`;
}
