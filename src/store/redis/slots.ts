import type { Redis } from "ioredis";

/** The slot of a cluster in which everything with this hash tag is: CRC-16 (XMODEM), as the cluster specification has it. */
export function slotOf(tag: string): number {
  let crc = 0;
  for (const octet of Buffer.from(tag)) {
    crc ^= octet << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
  }
  return crc & 0x3fff;
}

/** Which primary, as `host:port`, has a slot; `undefined`: none. */
export type SlotMap = (slot: number) => string | undefined;

/** What a node of a cluster knows of it. A node that leaves out its own host means the one it was asked at. */
export async function readSlots(client: Redis, askedAt: string): Promise<SlotMap> {
  const ranges = (await client.call("CLUSTER", "SLOTS")) as [number, number, [string | null, number]][];
  const owned = ranges.map(([first, last, [host, port]]) => ({ first, last, address: addressOf(host, port, askedAt) }));
  return (slot) => owned.find(({ first, last }) => slot >= first && slot <= last)?.address;
}

/** Where a `MOVED` or an `ASK` leads. */
export function redirection(message: string, askedAt: string): { isMoved: boolean; address: string } | undefined {
  const [, kind, host, port] = /^(MOVED|ASK) \d+ (.*):(\d+)$/.exec(message) ?? [];
  if (kind === undefined) return undefined;
  return { isMoved: kind === "MOVED", address: addressOf(host!, Number(port), askedAt) };
}

function addressOf(host: string | null, port: number, askedAt: string): string {
  const known = host === null || host === "" || host === "?" ? askedAt.slice(0, askedAt.lastIndexOf(":")) : host;
  return `${known.includes(":") && !known.startsWith("[") ? `[${known}]` : known}:${port}`;
}
