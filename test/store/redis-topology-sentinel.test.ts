import { Redis } from "ioredis";
import t, { type Test } from "tap";
import type { Lease } from "../../src/model.js";
import { StoreUnavailableError } from "../../src/store/record-store.js";
import { openRedisStore } from "../../src/store/redis/open-redis-store.js";
import type { RedisStore } from "../../src/store/redis/redis-store.js";
import { freePort, type RedisServer, redisBinary, redisConfig } from "../redis-server.js";
import { roleOf, startReplicated, startSentinels, until } from "../redis-topology.js";
import { answer, asking, leaseOn, newKey, origin } from "./contract-material.js";

type Claimed = Lease[];

/** Claims until it is stopped, and keeps what was acknowledged. */
function claiming(store: RedisStore) {
  const claimed: Claimed = [];
  let isOver = false;
  let refusals = 0;
  let longestMs = 0;
  const client = async () => {
    while (!isOver) {
      const lease = leaseOn(newKey());
      const begunMs = performance.now();
      try {
        if ((await store.claim(asking(lease))).kind === "won") claimed.push(lease);
      } catch (error) {
        if (!(error instanceof StoreUnavailableError)) throw error;
        refusals += 1;
        // Refusals are instant; a client of ours would wait too.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      longestMs = Math.max(longestMs, performance.now() - begunMs);
    }
  };
  const clients = Promise.all(Array.from({ length: 8 }, client));
  return {
    claimed,
    reach: (count: number) => until(`${count} claims`, () => claimed.length >= count),
    async stop() {
      isOver = true;
      await clients;
      return { refusals, longestMs };
    },
  };
}

/** Every one of them is where it was acknowledged to be: in flight, under its own token. */
async function lostOf(store: RedisStore, claimed: Claimed): Promise<number> {
  let lost = 0;
  for (const lease of claimed) {
    const other = await store.claim(asking(leaseOn(lease.key)));
    if (other.kind !== "held" || other.flight !== lease.token.slice(0, 16)) lost += 1;
  }
  return lost;
}

async function failover(t: Test, binary: string): Promise<void> {
  const { primary, all } = await startReplicated(t, binary, 2);
  const nodes = await startSentinels(t, binary, primary, 2);
  // The first sentinel is not there: the next one is asked.
  const sentinel = { master: "main", nodes: [`127.0.0.1:${await freePort()}`, ...nodes] };
  const news: string[] = [];
  const open = async (waitReplicas: number) => {
    const config = redisConfig("redis://localhost:1/0", { sentinel, waitReplicas, commandTimeoutMs: 1_000 });
    const store = await openRedisStore(config, { onTrouble: (x) => news.push(x), onRecovery: (x) => news.push(x) });
    t.teardown(() => store.close());
    return store;
  };
  const plain = await open(0);
  const confirming = await open(2);
  const asked = nodes.map((node) => new Redis(`redis://${node}`));
  t.teardown(() => asked.forEach((admin) => void admin.disconnect()));
  /** Whom all sentinels name: for a moment there may be two servers that take themselves for the primary. */
  const primaryNow = async (but: RedisServer) => {
    let found: RedisServer | undefined;
    await until("the sentinels agree on a new primary", async () => {
      const named = asked.map(
        (admin) => admin.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main") as Promise<string[]>,
      );
      const ports = new Set((await Promise.all(named)).map(([, port]) => Number(port)));
      found = all.find((server) => server !== but && ports.size === 1 && ports.has(server.port));
      return found !== undefined;
    });
    return found!;
  };

  await t.test(
    "a primary killed in the middle: confirmed claims are still there, and it goes on by itself",
    async (t) => {
      const [free, safe] = [claiming(plain), claiming(confirming)];
      await Promise.all([free.reach(200), safe.reach(200)]);
      const watched = leaseOn(newKey());
      await plain.claim(asking(watched));
      let wakes = 0;
      const count = () => {
        wakes += 1;
      };
      t.teardown(plain.watch(watched.key, count));
      await until("it is subscribed", () => wakes > 0);
      const killedMs = performance.now();
      await primary.kill();
      const before = free.claimed.length;
      await free.reach(before + 200);
      const awayMs = performance.now() - killedMs;
      const { refusals, longestMs } = await free.stop();
      await safe.stop();
      t.comment(
        `back after ${awayMs.toFixed(0)} ms, ${refusals} refusals, the longest took ${longestMs.toFixed(0)} ms`,
      );
      const lost = await lostOf(plain, free.claimed.slice(0, before));
      t.comment(`unconfirmed: ${lost} of ${before} lost; confirmed: ${safe.claimed.length}`);
      t.equal(await lostOf(plain, safe.claimed), 0, "nothing that was confirmed is lost");
      const heard = wakes;
      await until("it is subscribed at the new primary", () => wakes > heard || heard > 1);
      const told = wakes;
      await plain.complete(watched, answer("x"), origin);
      await until("watchers hear of changes there", () => wakes > told);
      await t.rejects(
        confirming.claim(asking(leaseOn(newKey()))),
        { name: "StoreUnavailableError" },
        "one replica is gone",
      );

      await primary.start();
      await until("the old primary follows the new one", async () => (await roleOf(primary)) === "slave");
      await until("two replicas confirm again", async () => {
        const claim = await confirming.claim(asking(leaseOn(newKey()))).catch(() => undefined);
        return claim?.kind === "won";
      });
      t.match(news.join("\n"), /^Redis at main \(sentinels 127.*answers again$/s);
    },
  );

  await t.test("a primary that freezes is left for the new one, and not believed when it wakes", async (t) => {
    const frozen = await primaryNow(primary);
    await until("three servers are up", async () => (await frozen.admin.call("WAIT", 2, 1_000)) === 2);
    const lease = leaseOn(newKey());
    t.equal((await confirming.claim(asking(lease))).kind, "won");
    const traffic = claiming(plain);
    await traffic.reach(20);
    frozen.freeze();
    t.teardown(() => frozen.thaw());
    const frozenMs = performance.now();
    await primaryNow(frozen);
    const before = traffic.claimed.length;
    await traffic.reach(before + 100);
    const awayMs = performance.now() - frozenMs;
    const { longestMs } = await traffic.stop();
    t.comment(`back after ${awayMs.toFixed(0)} ms, the longest claim took ${longestMs.toFixed(0)} ms`);
    t.equal((await plain.claim(asking(leaseOn(lease.key)))).kind, "held");
    frozen.thaw();
    t.equal(await plain.complete(lease, answer("x"), origin), "stored");
    const { admin } = await primaryNow(frozen);
    const name = `ig:{${lease.key.slice(0, 2)}}:${lease.key}`;
    t.equal(await admin.hget(name, "state"), "completed", "at the one that the sentinels name");
  });

  await t.test("a name that no sentinel knows is one plain sentence", async (t) => {
    const config = redisConfig("redis://h", { sentinel: { master: "other", nodes }, commandTimeoutMs: 1_000 });
    await t.rejects(openRedisStore(config, { onTrouble: t.fail, startTimeoutMs: 1_000 }), {
      message:
        /^Redis at other \(sentinels 127\.0\.0\.1:.*\) cannot be reached: no sentinel knows a primary of this name/,
    });
  });
}

const binary = await redisBinary(t);
if (binary !== undefined) await t.test("behind sentinels", (t) => failover(t, binary));
