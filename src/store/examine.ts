import type { StoreConfig } from "../config/config.js";
import { examineEmbedded } from "./embedded/examine.js";
import type { Finding } from "./finding.js";
import { examineRedis } from "./redis/examine.js";

/** What an operator should know about the configured store before money depends on it. Changes nothing. */
export async function examineStore(config: StoreConfig): Promise<Finding[]> {
  return config.type === "redis" ? examineRedis(config) : examineEmbedded(config);
}
