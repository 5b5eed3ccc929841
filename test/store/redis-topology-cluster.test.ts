import t, { type Test } from "tap";
import type { Lease, RecordKey } from "../../src/model.js";
import { StoreUnavailableError } from "../../src/store/record-store.js";
import { examineRedis } from "../../src/store/redis/examine.js";
import { tags } from "../../src/store/redis/keys.js";
import { openRedisStore } from "../../src/store/redis/open-redis-store.js";
import type { RedisStore } from "../../src/store/redis/redis-store.js";
import { slotOf } from "../../src/store/redis/slots.js";
import { ageRecords, type RedisServer, redisBinary, redisConfig } from "../redis-server.js";
import { nodeIdOf, roleOf, startCluster, until } from "../redis-topology.js";
import { storeContract } from "./contract.js";
import { answer, asking, leaseOn, newKey, origin } from "./contract-material.js";

type Cluster = Awaited<ReturnType<typeof startCluster>>;

let opened = 0;

async function openOn(t: Test, { nodes }: Pick<Cluster, "nodes">, changes: Parameters<typeof redisConfig>[1] = {}) {
  const keyPrefix = `c${opened++}:`;
  const news: string[] = [];
  const say = (text: string) => void news.push(text);
  const config = redisConfig("redis://localhost", {
    cluster: { nodes },
    keyPrefix,
    commandTimeoutMs: 5_000,
    ...changes,
  });
  const open = async () => {
    const store = await openRedisStore(config, { onTrouble: say, onRecovery: say });
    t.teardown(() => store.close());
    return store;
  };
  return { store: await open(), open, config, keyPrefix, news };
}

/** The primary that has a tag's slot, as the cluster was made. */
const ownerOf = ({ primaries }: Cluster, tag: string) => primaries[Math.min(2, Math.floor(slotOf(tag) / 5461))]!;
const tagOn = (cluster: Cluster, server: RedisServer) => tags.find((tag) => ownerOf(cluster, tag) === server)!;
const keyIn = (tag: string) => `${tag}${newKey().slice(2)}` as RecordKey;

async function refusalOf(promise: Promise<unknown>): Promise<StoreUnavailableError | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    if (error instanceof StoreUnavailableError) return error;
    throw error;
  }
}

async function spread(cluster: Cluster): Promise<void> {
  await t.test("a tag's slot is where the servers say it is", async (t) => {
    for (const tag of tags) {
      const slot = await cluster.primaries[0]!.admin.call("CLUSTER", "KEYSLOT", `ig:{${tag}}:x`);
      if (slot !== slotOf(tag)) t.fail(`${tag} is in ${slot}, not ${slotOf(tag)}`);
    }
  });

  await storeContract(t, "the Redis store on a cluster", async () => {
    const others: RedisStore[] = [];
    const { store, config, keyPrefix } = await openOn(t, cluster);
    const open = async () => {
      const other = await openRedisStore(config, { onTrouble: (text) => t.fail(text) });
      others.push(other);
      return other;
    };
    return {
      store,
      passTime: async (ms: number) => {
        for (const { admin } of cluster.primaries) await ageRecords(admin, keyPrefix, ms);
      },
      another: open,
      reopen: open,
      close: async () => void (await Promise.all([store, ...others].map((one) => one.close()))),
    };
  });

  await t.test("records are on all primaries, are listed as one, and every key expires", async (t) => {
    const { store } = await openOn(t, cluster);
    const leases = Array.from({ length: 60 }, () => leaseOn(newKey()));
    for (const lease of leases) await store.claim(asking(lease));
    for (const lease of leases.slice(0, 30)) await store.complete(lease, answer("x"), origin);
    for (const [state, wanted] of [
      [undefined, leases],
      ["completed", leases.slice(0, 30)],
      ["in_flight", leases.slice(30)],
    ] as const) {
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await store.list({ state, limit: 7, cursor });
        seen.push(...page.records.map(({ key }) => key));
        t.ok(page.records.length <= 7);
        cursor = page.cursor ?? undefined;
      } while (cursor !== undefined && seen.length < 1_000);
      t.same([...seen].sort(), wanted.map(({ key }) => key).sort(), `each once: ${state}`);
      const created = await Promise.all(seen.map((key) => store.peek(key as RecordKey, false)));
      const order = created.map((view) => view!.createdAtMs);
      t.same(
        order,
        [...order].sort((a, b) => b - a),
        "newest first",
      );
    }
    for (const { admin } of cluster.primaries) {
      const names = await admin.keys("*");
      t.ok(names.length > 10);
      for (const name of names) if ((await admin.pttl(name)) < 0) t.fail(`${name} never expires`);
    }
  });

  await t.test("doctor looks at each primary; a form that does not fit is one plain sentence", async (t) => {
    const { config } = await openOn(t, cluster);
    const findings = await examineRedis(config);
    t.equal(findings.filter(({ check }) => check === "redis version").length, 3);
    for (const { port } of cluster.primaries)
      t.ok(findings.some(({ detail }) => detail.startsWith(`127.0.0.1:${port}: `)));
    const alone = redisConfig(cluster.primaries[0]!.url, { commandTimeoutMs: 5_000 });
    await t.rejects(openRedisStore(alone, { onTrouble: t.fail }), {
      message: /is a node of a cluster; name its nodes in store\.cluster/,
    });
    const numbered = redisConfig("redis://localhost/2", { cluster: { nodes: cluster.nodes } });
    await t.rejects(openRedisStore(numbered, { onTrouble: t.fail }), { message: /a cluster has no database 2/ });
  });
}

async function moving(cluster: Cluster): Promise<void> {
  await t.test("a slot that moves to another primary is followed, and nothing in it is lost", async (t) => {
    const { store, keyPrefix, news } = await openOn(t, cluster);
    const [from, to] = cluster.primaries as [RedisServer, RedisServer];
    const tag = tagOn(cluster, from);
    const slot = slotOf(tag);
    const [moved, neighbour] = [leaseOn(keyIn(tag)), leaseOn(keyIn(tag))];
    for (const lease of [moved, neighbour]) t.equal((await store.claim(asking(lease))).kind, "won");
    await to.admin.call("CLUSTER", "SETSLOT", slot, "IMPORTING", await nodeIdOf(from));
    await from.admin.call("CLUSTER", "SETSLOT", slot, "MIGRATING", await nodeIdOf(to));
    const name = `${keyPrefix}{${tag}}:${moved.key}`;
    t.equal((await store.peek(moved.key, false))?.state, "in_flight");
    await from.admin.call("MIGRATE", "127.0.0.1", to.port, name, 0, 5_000);
    t.equal((await store.peek(moved.key, false))?.state, "in_flight", "found where it is going");
    const refusal = await refusalOf(store.claim(asking(leaseOn(moved.key))));
    t.equal(refusal?.mayHaveRun, false, "record and index are torn apart for a moment: refused, and not carried out");
    for (;;) {
      const rest = (await from.admin.call("CLUSTER", "GETKEYSINSLOT", slot, 100)) as string[];
      if (rest.length === 0) break;
      for (const key of rest) await from.admin.call("MIGRATE", "127.0.0.1", to.port, key, 0, 5_000);
    }
    await to.admin.script("FLUSH");
    t.equal((await store.claim(asking(leaseOn(moved.key)))).kind, "held", "by a server that does not own it yet");
    await to.admin.script("FLUSH");
    t.equal(await store.complete(neighbour, answer("x"), origin), "stored");
    for (const { admin } of [to, from, cluster.primaries[2]!]) {
      await admin.call("CLUSTER", "SETSLOT", slot, "NODE", await nodeIdOf(to));
    }
    t.equal((await store.claim(asking(leaseOn(moved.key)))).kind, "held");
    t.equal((await store.claim(asking(leaseOn(keyIn(tag))))).kind, "won");
    t.equal(await store.complete(moved, answer("x"), origin), "stored");
    t.equal(await to.admin.exists(name), 1);
    t.same(news, []);
  });
}

async function dead(cluster: Cluster): Promise<void> {
  await t.test("a shard that is dead or frozen fails fast while the others work, without a busy loop", async (t) => {
    const { store, news } = await openOn(t, cluster, { commandTimeoutMs: 600 });
    const gone = cluster.primaries[2]!;
    const away = () => leaseOn(keyIn(tagOn(cluster, gone)));
    const here = () => leaseOn(keyIn(tagOn(cluster, cluster.primaries[1]!)));
    const kept = away();
    await store.claim(asking(kept));
    for (const end of ["frozen", "dead"]) {
      if (end === "frozen") gone.freeze();
      else await gone.kill();
      await until(
        "the store has noticed",
        async () => (await refusalOf(store.claim(asking(away()))))?.mayHaveRun === false,
      );
      const cpu = process.cpuUsage();
      const begunMs = performance.now();
      const refusals = await Promise.all(Array.from({ length: 200 }, () => refusalOf(store.claim(asking(away())))));
      t.same(new Set(refusals.map((error) => error?.mayHaveRun)), new Set([false]), "not even asked");
      const tookMs = performance.now() - begunMs;
      for (let turn = 0; turn < 20; turn++)
        t.equal((await store.claim(asking(here()))).kind, "won", `others work, ${end}`);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const { user, system } = process.cpuUsage(cpu);
      const share = (user + system) / 1_000 / (performance.now() - begunMs);
      t.comment(`${end}: 200 refusals took ${tookMs.toFixed(0)} ms; ${(100 * share).toFixed(0)} % of a core`);
      t.ok(share < 0.6, "not busy");
      t.ok(await refusalOf(store.ping()), "the store says that a part of it is away");
      if (end === "frozen") gone.thaw();
      else await gone.start();
      await until("it works again", async () => (await refusalOf(store.claim(asking(away())))) === undefined);
      if (end === "frozen") t.equal((await store.claim(asking(leaseOn(kept.key)))).kind, "held");
    }
    t.ok(news.length <= 12, `told, not chattered: ${news.join("; ")}`);
    t.match(news[0], new RegExp(`^Redis at 127\\.0\\.0\\.1:${gone.port} `));
  });
}

async function failover(t: Test, cluster: Cluster): Promise<void> {
  const [lost, replica] = [cluster.primaries[0]!, cluster.replicas[0]!];
  const { store: plain } = await openOn(t, cluster);
  const { store, news } = await openOn(t, cluster);
  const tag = tagOn(cluster, lost);
  const confirmed: Lease[] = [];
  for (let turn = 0; turn < 50; turn++) {
    const lease = leaseOn(keyIn(tag));
    await store.claim(asking(lease));
    confirmed.push(lease);
  }
  const watched = leaseOn(keyIn(tag));
  await plain.claim(asking(watched));
  await until("the replica has it", async () => {
    await lost.admin.set(`x:{${tag}}`, 1, "PX", 60_000);
    return (await lost.admin.call("WAIT", 1, 1_000)) === 1;
  });
  let wakes = 0;
  const count = () => {
    wakes += 1;
  };
  t.teardown(plain.watch(watched.key, count));
  await until("it is subscribed", () => wakes > 0);
  const killedMs = performance.now();
  await lost.kill();
  await until(
    "claims of the shard are won again",
    async () => (await refusalOf(store.claim(asking(leaseOn(keyIn(tag)))))) === undefined,
  );
  t.comment(`back after ${(performance.now() - killedMs).toFixed(0)} ms`);
  t.equal(await roleOf(replica), "master");
  for (const lease of confirmed) t.equal((await store.claim(asking(leaseOn(lease.key)))).kind, "held");
  await until("the other store is back", async () => (await refusalOf(plain.ping())) === undefined);
  const heard = wakes;
  await plain.complete(watched, answer("x"), origin);
  await until("watchers hear of it, wherever they listen now", () => wakes > heard);
  t.match(news.join("\n"), /lost|cannot|refused|ECONN/i);
}

async function confirming(t: Test, cluster: Cluster): Promise<void> {
  const { store } = await openOn(t, cluster, { waitReplicas: 1, commandTimeoutMs: 1_000 });
  const [replicated, single] = cluster.primaries as [RedisServer, RedisServer];
  t.equal((await store.claim(asking(leaseOn(keyIn(tagOn(cluster, replicated)))))).kind, "won");
  const lease = leaseOn(keyIn(tagOn(cluster, single)));
  const refusal = await refusalOf(store.claim(asking(lease)));
  t.equal(refusal?.mayHaveRun, false, "this shard has no replica");
  t.equal(await store.peek(lease.key, false), undefined);
  cluster.replicas[0]!.freeze();
  t.ok(await refusalOf(store.claim(asking(leaseOn(keyIn(tagOn(cluster, replicated)))))), "nor has that one now");
  cluster.replicas[0]!.thaw();
}

const binary = await redisBinary(t);
if (binary !== undefined) {
  const cluster = await startCluster(t, binary, 0);
  await spread(cluster);
  await dead(cluster);
  await moving(cluster);
  await t.test("a shard with a replica", async (t) => {
    const cluster = await startCluster(t, binary, 1);
    await t.test("each shard's own replicas confirm its claims", (t) => confirming(t, cluster));
    await t.test("a shard that fails over goes on by itself, and so do those who watch", (t) => failover(t, cluster));
  });
}
