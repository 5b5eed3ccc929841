import pino, { type DestinationStream, type Logger } from "pino";
import type { Config } from "../config/config.js";

/** Lines that a reader of ours may leave waiting before they are dropped, and counted. */
const maxWaitingBytes = 16 * 1024 * 1024;

/** `out` stands in for the standard output. */
export async function openLog(logging: Config["logging"], out?: DestinationStream): Promise<Logger> {
  const options = {
    level: logging.level,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level: string) => ({ level }) },
  };
  if (logging.format === "pretty") return pino(options, await prettyStream(out));
  if (out !== undefined) return pino(options, out);
  // Not in sync: a log reader that stands still must not stop the renewal of leases. What is waiting is written at exit.
  const stdout = pino.destination({ dest: 1, sync: false, maxLength: maxWaitingBytes });
  const logger = pino(options, stdout);
  let dropped = 0;
  stdout.on("drop", () => dropped++);
  stdout.on("drain", () => {
    if (dropped > 0) logger.warn({ lines: dropped }, "log lines were dropped: their reader was too slow");
    dropped = 0;
  });
  return logger;
}

/**
 * Loaded only when it is asked for. Written in this thread and at once: it is for a terminal, and a worker would lose
 * the last lines of a crash.
 */
async function prettyStream(out: DestinationStream | undefined): Promise<DestinationStream> {
  const { default: pretty } = await import("pino-pretty");
  const isColorful = out === undefined && process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
  const format = pretty.prettyFactory({
    colorize: isColorful,
    singleLine: true,
    ignore: "pid",
    translateTime: "SYS:HH:MM:ss.l",
  });
  const stream = out ?? pino.destination({ dest: 1, sync: true });
  return { write: (line) => stream.write(format(line)) };
}
