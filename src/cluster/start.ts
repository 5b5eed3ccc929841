import { availableParallelism } from "node:os";
import type { Logger } from "pino";
import type { Config } from "../config/config.js";
import type { Contents } from "../config/files.js";
import { type Gateway, startGateway, startLead } from "../gateway.js";
import { Workers } from "./primary.js";
import { isWorker, reportTo } from "./worker.js";

/** One process, or a primary with several workers on one port, as the configuration says. `contents`: its files, if any. */
export function start(config: Config, contents: Contents | undefined, log: Logger): Promise<Gateway> {
  if (isWorker()) return startGateway(config, log, reportTo);
  const { workers } = config.server;
  const count = workers === "auto" ? availableParallelism() : workers;
  return count === 1 ? startGateway(config, log) : startCrew(new Workers(config, contents, log, count), config, log);
}

async function startCrew(crew: Workers, config: Config, log: Logger): Promise<Gateway> {
  const port = await crew.started();
  try {
    return await startLead(config, log, port, crew);
  } catch (error) {
    await crew.drain();
    throw error;
  }
}
