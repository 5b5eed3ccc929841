import { post, type Reply } from "../e2e/client.js";
import { Gateway, tempFolder } from "../e2e/harness.js";
import { answer, Gate, Upstream } from "../e2e/upstream.js";
import { type RedisServer, startRedis } from "../redis-server.js";
import { folderOf, until } from "../redis-topology.js";
import { Relay } from "../relay.js";

/** The one fault that breaks the promise, and what is there against it. */
interface Variant {
  readonly name: string;
  readonly waitReplicas: number;
  readonly hasLocks: boolean;
  /** Whether the first request still runs when the store forgets it. */
  readonly isRunning: boolean;
  readonly mayBreak: boolean;
}

const variants: readonly Variant[] = [
  { name: "nothing against it, while it runs", waitReplicas: 0, hasLocks: false, isRunning: true, mayBreak: true },
  { name: "nothing against it, when answered", waitReplicas: 0, hasLocks: false, isRunning: false, mayBreak: true },
  { name: "waitReplicas 1, while it runs", waitReplicas: 1, hasLocks: false, isRunning: true, mayBreak: false },
  { name: "waitReplicas 1, when answered", waitReplicas: 1, hasLocks: false, isRunning: false, mayBreak: false },
  { name: "three lock nodes, while it runs", waitReplicas: 0, hasLocks: true, isRunning: true, mayBreak: false },
  { name: "three lock nodes, when answered", waitReplicas: 0, hasLocks: true, isRunning: false, mayBreak: true },
];

/** In each round as many keys before the replica falls behind, and after. */
const keysEach = 10;

interface Counted {
  keys: number;
  dispatched: number;
  twice: number;
}

/**
 * A failover to a replica that is behind, again and again, with clients that send their requests once more after it. The
 * number is the exit code: 1 where something broke that was not to, or held that was said to break.
 */
export async function breaksTable(binary: string | undefined, rounds: number): Promise<number> {
  if (binary === undefined) return 1;
  let wrong = 0;
  console.log("| against a failover that forgets | replica | keys | sent | sent twice |\n|---|---|---:|---:|---:|");
  for (const variant of variants) {
    const teardowns: (() => unknown)[] = [];
    const owner = { teardown: (handler: () => unknown) => void teardowns.unshift(handler) };
    try {
      const { seen, unseen } = await runVariant(owner, binary, variant, rounds);
      for (const [replica, { keys, dispatched, twice }] of Object.entries({
        "had the claim": seen,
        "had not": unseen,
      })) {
        console.log(`| ${variant.name} | ${replica} | ${keys} | ${dispatched} | ${twice} |`);
      }
      const isRight = seen.twice === 0 && unseen.twice > 0 === variant.mayBreak;
      if (!isRight) wrong += 1;
    } finally {
      for (const teardown of teardowns) await teardown();
    }
  }
  console.log(`chaos: ${variants.length - wrong} passed, ${wrong} failed`);
  return wrong === 0 ? 0 : 1;
}

type Owner = Parameters<typeof tempFolder>[0];

async function runVariant(owner: Owner, binary: string, variant: Variant, rounds: number) {
  const scene = await open(owner, binary, variant);
  const counts = { seen: { keys: 0, dispatched: 0, twice: 0 }, unseen: { keys: 0, dispatched: 0, twice: 0 } };
  for (let round = 0; round < rounds; round++) {
    const names = Array.from({ length: keysEach * 2 }, (_, at) => `r${round}-${at}`);
    const [seen, unseen] = [names.slice(0, keysEach), names.slice(keysEach)];
    await runRound(scene, variant, seen, unseen);
    tally(scene.upstream, counts.seen, seen);
    tally(scene.upstream, counts.unseen, unseen);
  }
  return counts;
}

interface Scene {
  readonly upstream: Upstream;
  readonly gateways: readonly Gateway[];
  /** Where the gateways find the primary, as behind an address that moves. */
  readonly front: Relay;
  /** Where the replica finds it. */
  readonly replication: Relay;
  servers: [primary: RedisServer, replica: RedisServer];
}

async function open(owner: Owner, binary: string, { waitReplicas, hasLocks }: Variant): Promise<Scene> {
  const start = async (...options: string[]) => {
    const server = await startRedis(binary, [
      "--dir",
      await folderOf(owner),
      "--repl-diskless-sync-delay",
      "0",
      ...options,
    ]);
    owner.teardown(() => server.stop());
    return server;
  };
  const primary = await start();
  const front = await Relay.start(owner, primary.port);
  const replication = await Relay.start(owner, primary.port);
  const replica = await start();
  await follow(replica, replication);
  const nodes: string[] = [];
  for (let index = 0; hasLocks && index < 3; index++) nodes.push((await start()).url);
  const upstream = await Upstream.start(owner);
  const route = {
    name: "pay",
    match: { path: "/pay" },
    upstream: { url: upstream.url },
    idempotency: { lease: "5s", waitTimeout: "1s" },
  };
  const settings = {
    store: { type: "redis", url: `redis://127.0.0.1:${front.port}`, waitReplicas, locks: { nodes } },
    logging: { level: "error" },
    routes: [route],
  };
  const folder = await tempFolder(owner);
  const gateways = [await Gateway.start(owner, settings, folder), await Gateway.start(owner, settings, folder)];
  return { upstream, gateways, front, replication, servers: [primary, replica] };
}

async function follow(server: RedisServer, link: Relay): Promise<void> {
  await server.admin.call("REPLICAOF", "127.0.0.1", link.port);
  await until("the replica follows", async () => /master_link_status:up/.test(await server.admin.info()));
}

async function runRound(scene: Scene, variant: Variant, seen: readonly string[], unseen: readonly string[]) {
  const { upstream, gateways, replication, front } = scene;
  const [primary, replica] = scene.servers;
  const gate = new Gate();
  upstream.on("/pay", variant.isRunning ? gate.before(answer(201, "done")) : answer(201, "done"));
  const send = (at: number, keys: readonly string[]) =>
    keys.map((key) => post(`${gateways[at]!.url}/pay`, { key }).catch(() => undefined));
  // A gateway that has just missed its replicas refuses most claims until one of them was confirmed again.
  const insist = async (key: string) => {
    for (let turn = 0; turn < 100; turn++) {
      const reply = await post(`${gateways[0]!.url}/pay`, { key });
      if (reply.code !== "store-unavailable") return reply;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return undefined;
  };
  const first: Promise<Reply | undefined>[] = seen.map(insist);
  await settled(scene, variant, seen, first);
  await until("the replica has all of it", async () => {
    const offset = async ({ admin }: RedisServer) =>
      /master_repl_offset:(\d+)/.exec(await admin.info("replication"))?.[1];
    return (await offset(primary)) === (await offset(replica));
  });
  // The link is there and carries nothing: that is how a replica falls behind.
  replication.fallSilent();
  const later = send(0, unseen);
  first.push(...later);
  if (variant.waitReplicas === 0) await settled(scene, variant, unseen, later);
  else await Promise.all(later);
  await primary.kill();
  replication.cut();
  replication.speak();
  await replica.admin.call("REPLICAOF", "NO", "ONE");
  front.lead(replica.port);
  for (const gateway of gateways) {
    await gateway.until("the store answers again", async () => {
      return (await gateway.admin("GET", "/v1/records?limit=1").catch(() => undefined))?.status === 200;
    });
  }
  await Promise.all(
    send(1, [...seen, ...unseen]).map((again) => Promise.race([again, arrivedAgain(upstream, unseen)])),
  );
  gate.open();
  await Promise.all(first);
  await primary.start();
  replication.lead(replica.port);
  await follow(primary, replication);
  scene.servers = [replica, primary];
}

/** Until the upstream has them, or the clients have their answers. */
async function settled(
  { upstream }: Scene,
  { isRunning }: Variant,
  keys: readonly string[],
  sent: readonly Promise<unknown>[],
) {
  if (isRunning) await until("all are dispatched", () => keys.every((key) => timesOf(upstream, key) > 0));
  else await Promise.all(sent);
}

/** Those that are sent twice are not answered before the gate is opened: they have arrived when all have. */
async function arrivedAgain(upstream: Upstream, keys: readonly string[]): Promise<void> {
  const endMs = Date.now() + 3_000;
  while (Date.now() < endMs && !keys.every((key) => timesOf(upstream, key) > 1)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function timesOf(upstream: Upstream, key: string): number {
  return upstream.journal.filter(({ headers }) => headers.some(([name, value]) => isKey(name) && value === key)).length;
}

const isKey = (name: string) => name.toLowerCase() === "idempotency-key";

function tally(upstream: Upstream, counted: Counted, keys: readonly string[]): void {
  for (const key of keys) {
    const times = timesOf(upstream, key);
    counted.keys += 1;
    counted.dispatched += times > 0 ? 1 : 0;
    counted.twice += times > 1 ? 1 : 0;
  }
}
