import { readFileSync } from "node:fs";

/** One script a verb, and how many keys it takes: the record, and the open records of its tag. */
const keyCounts = {
  claim: 2,
  extend: 2,
  complete: 2,
  withdraw: 2,
  release: 2,
  strand: 2,
  forget: 2,
  resolve: 2,
  peek: 1,
  survey: 0,
  census: 1,
  sweep: 1,
} as const;

type Argument = string | number | Buffer;

/** What ioredis makes of them. The `Buffer` forms leave octets alone, the others read everything as UTF-8. */
export interface RecordScripts {
  claimBuffer(record: string, open: string, ...args: Argument[]): Promise<unknown[]>;
  extend(record: string, open: string, ...args: Argument[]): Promise<string>;
  complete(record: string, open: string, ...args: Argument[]): Promise<string>;
  withdraw(record: string, open: string, ...args: Argument[]): Promise<string>;
  release(record: string, open: string, ...args: Argument[]): Promise<string>;
  strand(record: string, open: string, ...args: Argument[]): Promise<string>;
  forget(record: string, open: string, seen: string): Promise<string>;
  resolve(record: string, open: string, ...args: Argument[]): Promise<string>;
  peekBuffer(record: string, withResponse: "0" | "1"): Promise<unknown[]>;
  census(open: string, atMost: number): Promise<(string | number)[]>;
  sweep(open: string, atMost: number): Promise<string[]>;
  survey(cursor: string, pattern: string, ...args: readonly (string | number)[]): Promise<string[]>;
}

/** For the ioredis option `scripts`: called by hash, and sent whole to a server that has lost it. */
export function loadScripts(): Record<keyof typeof keyCounts, { lua: string; numberOfKeys: number }> {
  const loaded = Object.entries(keyCounts).map(([verb, numberOfKeys]) => {
    const lua = readFileSync(new URL(`${verb}.lua`, import.meta.url), "utf8");
    return [verb, { lua, numberOfKeys }] as const;
  });
  return Object.fromEntries(loaded) as ReturnType<typeof loadScripts>;
}
