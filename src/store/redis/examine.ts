import type { Redis } from "ioredis";
import type { RedisConfig } from "../../config/config.js";
import type { Finding } from "../finding.js";
import { primaryConfigs } from "./cluster.js";
import { type Connection, connectRedis, placeOf } from "./connect.js";
import { inspectRedis, objection, type RedisFacts } from "./preflight.js";

const startTimeoutMs = 5_000;
const trips = 20;
/** Claims carry a deadline by the server's clock; a skew is measured and bridged, a large one says something else is wrong. */
const largeSkewMs = 1_000;

const quiet = { onTrouble: () => {}, onRecovery: () => {} };

/** Connects, and says what an operator should know before money depends on this server, or on those of this cluster. */
export async function examineRedis(config: RedisConfig): Promise<Finding[]> {
  let primaries: readonly RedisConfig[];
  try {
    primaries = await primaryConfigs(config, startTimeoutMs);
  } catch (error) {
    return [{ check: "redis connection", state: "unsafe", detail: (error as Error).message }];
  }
  const findings = await Promise.all(primaries.map((primary) => examinePrimary(primary, config.cluster !== null)));
  return findings.flat();
}

async function examinePrimary(config: RedisConfig, isClusterNode: boolean): Promise<Finding[]> {
  let connection: Connection;
  try {
    connection = await connectRedis(config, quiet, startTimeoutMs);
  } catch (error) {
    return [{ check: "redis connection", state: "unsafe", detail: (error as Error).message }];
  }
  try {
    const { client } = connection;
    const findings = [...(await examineServer(client, config, isClusterNode)), ...(await examineTime(client, config))];
    if (!isClusterNode) return findings;
    return findings.map((finding) => ({ ...finding, detail: `${placeOf(config)}: ${finding.detail}` }));
  } finally {
    await connection.close();
  }
}

async function examineServer(client: Redis, config: RedisConfig, isClusterNode: boolean): Promise<Finding[]> {
  let facts: RedisFacts;
  try {
    facts = await inspectRedis(client);
  } catch (error) {
    const state = config.requireNoEviction ? "unsafe" : "warning";
    return [{ check: "redis settings", state, detail: `INFO is not permitted: ${(error as Error).message}` }];
  }
  const refusal = objection(facts, { requireNoEviction: true, isClusterNode });
  return [
    { check: "redis version", state: "ok", detail: `${facts.product} ${facts.version}, ${facts.role}` },
    refusal === undefined
      ? { check: "redis eviction", state: "ok", detail: `${facts.evictionPolicy}: nothing is dropped to make room` }
      : { check: "redis eviction", state: "unsafe", detail: `the server ${refusal}` },
    facts.hasAppendOnlyFile
      ? { check: "redis persistence", state: "ok", detail: "append-only file is on" }
      : {
          check: "redis persistence",
          state: "unsafe",
          detail: "append-only file is off: a restart forgets claims and responses, and requests may run again",
        },
    examineReplicas(facts, config),
  ];
}

/** A replica that did not confirm a claim may be the one that a failover promotes. */
export function examineReplicas(
  { connectedReplicas }: Pick<RedisFacts, "connectedReplicas">,
  { waitReplicas }: Pick<RedisConfig, "waitReplicas">,
): Finding {
  const check = "redis replicas";
  const detail = `${connectedReplicas} connected, ${waitReplicas} asked to confirm each claim`;
  if (connectedReplicas < waitReplicas) return { check, state: "unsafe", detail };
  if (connectedReplicas === waitReplicas) return { check, state: "ok", detail };
  const which = waitReplicas === 0 ? "" : " to one that did not confirm";
  return { check, state: "warning", detail: `${detail}: a failover${which} may forget acknowledged claims` };
}

async function examineTime(client: Redis, { commandTimeoutMs }: RedisConfig): Promise<Finding[]> {
  const takenMs: number[] = [];
  let skewMs = 0;
  for (let i = 0; i < trips; i++) {
    const begunMs = performance.now();
    const [seconds, micros] = await client.time();
    takenMs.push(performance.now() - begunMs);
    skewMs = Number(seconds) * 1000 + Number(micros) / 1000 - (Date.now() - (takenMs[i] as number) / 2);
  }
  takenMs.sort((a, b) => a - b);
  const median = takenMs[trips / 2] as number;
  const worst = takenMs[trips - 1] as number;
  return [
    {
      check: "redis round trip",
      state: worst > commandTimeoutMs / 2 ? "warning" : "ok",
      detail: `${median.toFixed(2)} ms median, ${worst.toFixed(2)} ms worst of ${trips}; commandTimeout is ${commandTimeoutMs} ms`,
    },
    {
      check: "clock skew",
      state: Math.abs(skewMs) > largeSkewMs ? "warning" : "ok",
      detail: `the server's clock is ${Math.abs(skewMs).toFixed(0)} ms ${skewMs < 0 ? "behind" : "ahead of"} this host's`,
    },
  ];
}
