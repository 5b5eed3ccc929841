import { type RedisServer, startRedis } from "../redis-server.js";
import {
  folderOf,
  type Owner,
  roleOf,
  startCluster,
  startReplicated,
  startSentinels,
  until,
} from "../redis-topology.js";
import { Relay } from "../relay.js";
import type { StoreKind } from "./history.js";

/** Where the records of a run live, and by what handles it can be shaken. */
export interface Stage {
  readonly kind: StoreKind;
  /** As in the config file. */
  readonly store: object;
  readonly servers: readonly RedisServer[];
  /** Between the gateways and the record server, where they find it by one address. */
  readonly link: Relay | undefined;
  readonly lockNodes: readonly RedisServer[];
  readonly lockLinks: readonly Relay[];
  /** Ends the primary by force, and resolves when there is another one and the old one follows it. */
  readonly failOver: ((how: "kill" | "freeze") => Promise<void>) | undefined;
}

export interface Topology {
  readonly gateways: number;
  readonly workers: number;
  /** Another one is so like it that a short run goes without. */
  readonly isLikeAnother?: boolean;
  open(owner: Owner, binary: string): Promise<Stage>;
}

const local = "127.0.0.1";
/** Every acknowledged write is in the file: what a kill -9 of Redis loses must not be put down to the gateway. */
const durable = ["--appendonly", "yes", "--appendfsync", "always"];

const embedded = async (): Promise<Stage> => ({
  ...bare,
  kind: "embedded",
  store: { type: "embedded", path: "./data" },
});

const bare = { servers: [], link: undefined, lockNodes: [], lockLinks: [], failOver: undefined };

/** By name, as in the table that a run prints. */
export const topologies: Readonly<Record<string, Topology>> = {
  "embedded, one process": { gateways: 1, workers: 1, isLikeAnother: true, open: embedded },
  "embedded, three processes": { gateways: 3, workers: 1, open: embedded },
  "embedded, two workers": { gateways: 1, workers: 2, open: embedded },
  "one Redis, two gateways": { gateways: 2, workers: 1, open: oneRedis },
  "one Redis, three gateways": { gateways: 3, workers: 1, isLikeAnother: true, open: oneRedis },
  "Sentinel, its one replica waited for": { gateways: 2, workers: 1, open: (...to) => sentinel(1, ...to) },
  "Sentinel, one of two replicas waited for": { gateways: 2, workers: 1, open: (...to) => sentinel(2, ...to) },
  "Cluster of three": { gateways: 2, workers: 1, open: cluster },
  "Redis and three lock nodes": { gateways: 2, workers: 1, open: withLocks },
};

async function serverOf(owner: Owner, binary: string): Promise<RedisServer> {
  const server = await startRedis(binary, [...durable, "--dir", await folderOf(owner)]);
  owner.teardown(() => server.stop());
  return server;
}

async function oneRedis(owner: Owner, binary: string): Promise<Stage> {
  const server = await serverOf(owner, binary);
  const link = await Relay.start(owner, server.port);
  const store = { type: "redis", url: `redis://${local}:${link.port}` };
  return { ...bare, kind: "redis", store, servers: [server], link };
}

async function withLocks(owner: Owner, binary: string): Promise<Stage> {
  const records = await oneRedis(owner, binary);
  const lockNodes: RedisServer[] = [];
  const lockLinks: Relay[] = [];
  for (let index = 0; index < 3; index++) {
    const node = await serverOf(owner, binary);
    lockNodes.push(node);
    lockLinks.push(await Relay.start(owner, node.port));
  }
  const nodes = lockLinks.map(({ port }) => `redis://${local}:${port}`);
  return { ...records, store: { ...records.store, locks: { nodes } }, lockNodes, lockLinks };
}

async function cluster(owner: Owner, binary: string): Promise<Stage> {
  const { all, nodes } = await startCluster(owner, binary, 0, durable);
  return { ...bare, kind: "redis", store: { type: "redis", cluster: { nodes } }, servers: all };
}

async function sentinel(replicas: number, owner: Owner, binary: string): Promise<Stage> {
  const { primary, all } = await startReplicated(owner, binary, replicas, durable);
  const nodes = await startSentinels(owner, binary, primary, replicas);
  const store = { type: "redis", sentinel: { master: "main", nodes }, waitReplicas: 1 };
  return { ...bare, kind: "redis", store, servers: all, failOver: (how) => failOver(all, how) };
}

async function primaryOf(servers: readonly RedisServer[]): Promise<RedisServer> {
  for (const server of servers) if ((await roleOf(server)) === "master") return server;
  throw new Error("there is no primary");
}

async function failOver(servers: readonly RedisServer[], how: "kill" | "freeze"): Promise<void> {
  const old = await primaryOf(servers);
  const others = servers.filter((server) => server !== old);
  if (how === "kill") await old.kill();
  else old.freeze();
  try {
    await until("another primary", async () => {
      for (const other of others) if ((await roleOf(other)) === "master") return true;
      return false;
    });
  } finally {
    if (how === "kill") await old.start();
    else old.thaw();
  }
  // The sentinels make it follow when they have looked at it for a while: they, and nobody else, as in production. Before
  // all have what the new one has, another failover would be to one that nobody has waited for.
  await until("one primary, and all others have what it has", async () => {
    const infos = await Promise.all(servers.map(({ admin }) => admin.info("replication")));
    const following = infos.filter((info) => /role:slave/.test(info) && /master_link_status:up/.test(info));
    return following.length === servers.length - 1;
  });
}
