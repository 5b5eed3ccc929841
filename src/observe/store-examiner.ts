import type { Logger } from "pino";
import type { Finding } from "../store/finding.js";

/**
 * Looks at the store's settings, and writes a line for what is unsafe when it is first seen, and another one when it is
 * mended. Rejects when the store could not be reached: then nothing is known of its settings.
 */
export function storeExaminer(
  examine: () => Promise<readonly Finding[]>,
  log: Logger,
): () => Promise<readonly Finding[]> {
  const told = new Set<string>();
  return async () => {
    const findings = await examine();
    const unreached = findings.find(({ check, state }) => check.endsWith("connection") && state === "unsafe");
    if (unreached !== undefined) throw new Error(unreached.detail);
    const unsafe = findings.filter(({ state }) => state === "unsafe");
    for (const { check, detail } of unsafe) {
      if (!told.has(check)) log.warn({ check, detail }, "the record store may lose records");
      told.add(check);
    }
    for (const check of told) {
      if (unsafe.some((finding) => finding.check === check)) continue;
      told.delete(check);
      log.info({ check }, "a setting of the record store is safe again");
    }
    return findings;
  };
}
