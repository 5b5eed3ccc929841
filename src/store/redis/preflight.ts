import type { Redis } from "ioredis";

/** What a Redis server says of itself, as far as records depend on it. */
export interface RedisFacts {
  readonly product: "redis" | "valkey";
  /** Of the protocol and commands: Valkey tells the Redis version it is compatible with. */
  readonly version: string;
  readonly role: string;
  readonly connectedReplicas: number;
  readonly isClusterNode: boolean;
  /** 0: no limit. */
  readonly maxMemoryBytes: number;
  readonly evictionPolicy: string;
  /** Whether it may drop records to make room. */
  readonly mayEvict: boolean;
  /** Whether every write goes to the append-only file. Without it a restart forgets what came after the last snapshot. */
  readonly hasAppendOnlyFile: boolean;
}

/** Reads `INFO`, which managed services permit where they refuse `CONFIG`. Rejects as the server does. */
export async function inspectRedis(client: Redis): Promise<RedisFacts> {
  const facts = new Map<string, string>();
  for (const line of (await client.info()).split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) facts.set(line.slice(0, colon), line.slice(colon + 1));
  }
  const maxMemoryBytes = Number(facts.get("maxmemory") ?? 0);
  const evictionPolicy = facts.get("maxmemory_policy") ?? "unknown";
  return {
    product: facts.has("valkey_version") ? "valkey" : "redis",
    version: facts.get("redis_version") ?? "unknown",
    role: facts.get("role") ?? "unknown",
    connectedReplicas: Number(facts.get("connected_slaves") ?? 0),
    isClusterNode: facts.get("cluster_enabled") === "1",
    maxMemoryBytes,
    evictionPolicy,
    // Whatever the limit is now: it may be set while the server runs, and nobody would be told.
    mayEvict: evictionPolicy !== "noeviction",
    hasAppendOnlyFile: facts.get("aof_enabled") === "1",
  };
}

export interface Wanted {
  readonly requireNoEviction: boolean;
  readonly isClusterNode: boolean;
}

/** Why records must not be kept there, as the end of a sentence about the server; `undefined` when they may. */
export function objection(facts: RedisFacts, wanted: Wanted): string | undefined {
  if (!(Number.parseInt(facts.version, 10) >= 7)) return `is version ${facts.version}; 7.0 or later is needed`;
  if (facts.role !== "master") return "is a replica; records are written to the primary";
  if (facts.isClusterNode && !wanted.isClusterNode) return "is a node of a cluster; name its nodes in store.cluster";
  if (!facts.isClusterNode && wanted.isClusterNode) return "is not a node of a cluster; name it in store.url";
  if (wanted.requireNoEviction && facts.mayEvict) {
    return `may evict records: its maxmemory-policy is ${facts.evictionPolicy}. Set it to noeviction, or accept that keys are forgotten with store.requireNoEviction: false`;
  }
  return undefined;
}
